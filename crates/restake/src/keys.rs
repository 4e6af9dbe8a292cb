//! Providers' keys, as a journal has them.
//!
//! To read a key takes a square root, longer than all else that is done about an entry, and in most entries of a book stands one of
//! the same few keys. So a key that was read is kept by its text, in each thread.

use alloc::vec::Vec;
use core::fmt;

use bitcoin::XOnlyPublicKey;
use bitcoin::secp256k1;
use serde::{Deserialize, Deserializer, de};

/// For `#[serde(deserialize_with = "crate::keys::one")]`.
pub(crate) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<XOnlyPublicKey, D::Error> {
    Key::deserialize(deserializer).map(|Key(key)| key)
}

/// For `#[serde(deserialize_with = "crate::keys::several")]`.
pub(crate) fn several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<XOnlyPublicKey>, D::Error> {
    let keys = Vec::<Key>::deserialize(deserializer)?;
    Ok(keys.into_iter().map(|Key(key)| key).collect())
}

struct Key(XOnlyPublicKey);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            XOnlyPublicKey::deserialize(deserializer).map(Key)
        }
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of 32 bytes in hex")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
        read(text).map(Key).map_err(E::custom)
    }
}

#[cfg(feature = "std")]
fn read(text: &str) -> Result<XOnlyPublicKey, secp256k1::Error> {
    use alloc::boxed::Box;
    use core::cell::RefCell;
    use std::collections::HashMap;

    /// The most keys that are kept.
    const MOST: usize = 10_000;
    std::thread_local! {
        static KEPT: RefCell<HashMap<Box<str>, XOnlyPublicKey>> = RefCell::default();
    }
    KEPT.with_borrow_mut(|kept| {
        if let Some(key) = kept.get(text) {
            return Ok(*key);
        }
        let key = text.parse()?;
        if kept.len() < MOST {
            kept.insert(text.into(), key);
        }
        Ok(key)
    })
}

#[cfg(not(feature = "std"))]
fn read(text: &str) -> Result<XOnlyPublicKey, secp256k1::Error> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Keys {
        #[serde(deserialize_with = "one")]
        one: XOnlyPublicKey,
        #[serde(deserialize_with = "several")]
        several: Vec<XOnlyPublicKey>,
    }

    #[test]
    fn a_key_reads_the_same_every_time_and_no_other_text_does() {
        let known = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let json = |text: &str| format!(r#"{{"one":"{text}","several":["{known}","{text}"]}}"#);
        for text in [
            known.to_string(),
            known.to_uppercase(),
            "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9".into(),
        ] {
            for _ in 0..2 {
                let Keys { one, several } = serde_json::from_str(&json(&text)).unwrap();
                assert_eq!((one, &several[..]), (text.parse().unwrap(), &[known.parse().unwrap(), one][..]));
            }
        }
        // Not on the curve, or no key at all, though it begins or ends like one.
        let off = format!("{}05", "00".repeat(31));
        for text in
            [&off, &known[2..], &format!("{known}00"), &format!("02{known}"), &format!(" {known}"), ""]
        {
            for _ in 0..2 {
                let refused = serde_json::from_str::<Keys>(&json(text)).unwrap_err();
                let plain = text.parse::<XOnlyPublicKey>().unwrap_err().to_string();
                assert!(refused.to_string().starts_with(&plain), "{refused}");
            }
        }
        assert!(serde_json::from_str::<Keys>(r#"{"one":1,"several":[]}"#).is_err());
    }
}
