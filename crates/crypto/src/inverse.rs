//! The inverse of a public scalar, the one piece of scalar arithmetic that libsecp256k1 does not offer.
//!
//! Binary extended Euclid on four 64-bit limbs, least significant first. Its running time depends on its input.

use bitcoin::secp256k1::constants::CURVE_ORDER;

type Limbs = [u64; 4];

const ORDER: Limbs = limbs(&CURVE_ORDER);
const ONE: Limbs = [1, 0, 0, 0];

/// The inverse of a scalar below n, both 32 bytes big endian; zero for zero.
pub(crate) fn invert(scalar: &[u8; 32]) -> [u8; 32] {
    let (mut u, mut v) = (limbs(scalar), ORDER);
    // u = scalar·a and v = scalar·b modulo n, all the way down to the greatest common divisor, one.
    let (mut a, mut b) = (ONE, [0; 4]);
    if u == [0; 4] {
        return [0; 32];
    }
    while u != ONE && v != ONE {
        halve_while_even(&mut u, &mut a);
        halve_while_even(&mut v, &mut b);
        let (difference, less) = sub(&u, &v);
        if less {
            v = sub(&v, &u).0;
            b = sub_mod(&b, &a);
        } else {
            u = difference;
            a = sub_mod(&a, &b);
        }
    }
    let inverse = if u == ONE { a } else { b };
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(inverse.iter().rev()) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    bytes
}

/// Halves `value` until it is odd, and its factor with it, modulo n.
fn halve_while_even(value: &mut Limbs, factor: &mut Limbs) {
    while value[0] & 1 == 0 {
        *value = halve(value, false);
        let (sum, carry) = if factor[0] & 1 == 0 { (*factor, false) } else { add(factor, &ORDER) };
        *factor = halve(&sum, carry);
    }
}

fn halve(value: &Limbs, carry: bool) -> Limbs {
    let [l0, l1, l2, l3] = *value;
    [l0 >> 1 | l1 << 63, l1 >> 1 | l2 << 63, l2 >> 1 | l3 << 63, l3 >> 1 | u64::from(carry) << 63]
}

fn sub_mod(a: &Limbs, b: &Limbs) -> Limbs {
    match sub(a, b) {
        (difference, false) => difference,
        (difference, true) => add(&difference, &ORDER).0,
    }
}

fn add(a: &Limbs, b: &Limbs) -> (Limbs, bool) {
    let (mut sum, mut carry) = ([0; 4], false);
    for i in 0..4 {
        let (partial, over) = a[i].overflowing_add(b[i]);
        let (limb, over_again) = partial.overflowing_add(u64::from(carry));
        sum[i] = limb;
        carry = over | over_again;
    }
    (sum, carry)
}

fn sub(a: &Limbs, b: &Limbs) -> (Limbs, bool) {
    let (mut difference, mut borrow) = ([0; 4], false);
    for i in 0..4 {
        let (partial, under) = a[i].overflowing_sub(b[i]);
        let (limb, under_again) = partial.overflowing_sub(u64::from(borrow));
        difference[i] = limb;
        borrow = under | under_again;
    }
    (difference, borrow)
}

const fn limbs(bytes: &[u8; 32]) -> Limbs {
    let mut limbs = [0; 4];
    let mut i = 0;
    while i < 32 {
        limbs[3 - i / 8] = limbs[3 - i / 8] << 8 | bytes[i] as u64;
        i += 1;
    }
    limbs
}
