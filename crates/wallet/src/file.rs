//! Files of bounded length.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{AtPath, WalletError};

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, WalletError> {
    let file = File::open(path).at(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).at(path)?;
    if bytes.len() as u64 > limit {
        return Err(WalletError::Damaged {
            file: path.display().to_string(),
            reason: format!("longer than {limit} bytes"),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read_limited(&path, 11).unwrap(), [0; 11]);
        assert!(read_limited(&path, 10).unwrap_err().to_string().ends_with("longer than 10 bytes"));
    }
}
