//! Passwords as lines of Trino's password files hold them.

use std::num::NonZeroU32;

use ring::pbkdf2::{PBKDF2_HMAC_SHA1, derive};

/// The least that Trino takes (`EncryptionUtil`, 470 and 476).
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

/// The hash of a random password of 256 bits, as a line `user:hash` has it: `iterations:salt:hash`, by PBKDF2 with HMAC-SHA1,
/// which Trino 470 and 476 ask for. What keeps such a password from being guessed is its length and not the number of iterations;
/// do not use it for those of people.
pub fn hash(password: &str, salt: [u8; 16]) -> String {
    let mut hash = [0; 32];
    derive(PBKDF2_HMAC_SHA1, ITERATIONS, &salt, password.as_bytes(), &mut hash);
    format!("{ITERATIONS}:{}:{}", hex::encode(salt), hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_trino_computes() {
        // hashlib.pbkdf2_hmac("sha1", b"secret", bytes([7] * 16), 1000, 32).hex()
        assert_eq!(
            hash("secret", [7; 16]),
            "1000:07070707070707070707070707070707:33f0c9afea476861ed7b4f8bc7857244079903e568bbeac76c69d8d4d4d98abf"
        );
    }
}
