//! The texts of prepared statements that Trino has compressed. A coordinator hands a long one to the client as `$zstd:` and
//! base64 of zstd, and gets it back with each request (`io.trino.server.protocol.PreparedStatementEncoder`, Trino 476).

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{MAX_LENGTH, error::Error};

/// No statement begins like this.
const MARK: &str = "$zstd:";

/// The most bytes that a frame may want to look back. One of Trino wants no more than its content: that is known when the
/// frame begins.
const MAX_WINDOW: u64 = MAX_LENGTH as u64;

/// The most blocks of a frame: small ones cost time whatever they hold, and the longest statement fills eight.
const MAX_BLOCKS: usize = 256;

/// As Guava's `base64Url` reads it: the padding may be there.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text of a prepared statement as its header has it, once that is URL-decoded.
///
/// # Errors
/// When it is compressed and cannot be read, or is longer than what is analyzed.
pub(super) fn unpack(text: &str) -> Result<Cow<'_, str>, Error> {
    let Some(packed) = text.strip_prefix(MARK) else { return Ok(Cow::Borrowed(text)) };
    let packed = BASE64.decode(packed).map_err(|_| Error::Packed)?;
    let unpacked = inflate(&packed)?;
    String::from_utf8(unpacked).map(Cow::Owned).map_err(|_| Error::Packed)
}

/// What is in the one frame that `packed` is.
fn inflate(mut packed: &[u8]) -> Result<Vec<u8>, Error> {
    let broken = |_| Error::Packed;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW);
    decoder.init(&mut packed).map_err(broken)?;
    let mut unpacked = Vec::new();
    while !decoder.is_finished() {
        if decoder.blocks_decoded() >= MAX_BLOCKS {
            return Err(Error::Packed);
        }
        decoder.decode_blocks(&mut packed, BlockDecodingStrategy::UptoBlocks(1)).map_err(broken)?;
        unpacked.extend(decoder.collect().unwrap_or_default());
        if unpacked.len() > MAX_LENGTH {
            return Err(Error::TooLong { limit: MAX_LENGTH });
        }
    }
    if packed.is_empty() { Ok(unpacked) } else { Err(Error::Packed) }
}

#[cfg(test)]
pub(super) mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    /// What Trino 476's own PreparedStatementEncoder makes of [`long`].
    pub(in crate::trino::sql) const LONG: &str = "$zstd:\
        KLUv_WCJCF0PAIYyaCNwTSHDAfz_VVXVD2KWH3GIcYFHMt46YpO9t0wyv21ZqqozA3QAYgBeALsaq41qRLWzVqyZtbJG1rr22lgj\
        1g61gpqhVqgRaqU2NVIjqJ2hFUMzQytDI0Pr0B4ahzaGdrRCM1rRiFZtjdrQiABagEARKOihwcOBBwKAIYMFCRUkWODQQQOHDgAG\
        bIBwYYAEDRQmSAGDBgb04OAhwUOBRzNHK0cjR-vRPhqPNo5GHO0UWlFopdBIobXQLjQW2ig0otCO0QqjGaMRo9VoG41GG0YjjHaK\
        VhTNFK0UrUW7aCzaKBpRtEO0gmiGaIVohGgTjUQbRCOIdqoV1Uy1Uo1UaxX_JEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmS\
        JEmSJEmSJHnOOeecc4qiKIqiKIrCGGOMMcaYUkoppZRSCCGEEEIIadu2bf__nyRJkhxjjDHGGIMgCIIgCIIIAgho57Rt27Zt27Zt\
        27Zt27Zt27Zt27Zt27Zt27Zt27Zt27Zt27Zt27bt______________________________9_gZioIfj9v8bBZyQHEeAfQlKUlKQk\
        JUX572EoUWpKp-aUnIpTcOpNuak2JbIpClhTANSUiiClAkNV8f5VyvhXoCkVC6VCokyr";

    /// A statement that is long enough for Trino to compress it, over 2048 characters.
    fn long() -> String {
        let numbers = (0..500).map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
        format!("DELETE FROM hive.raw.\"événements\" WHERE id IN ({numbers}, ?)")
    }

    fn packed(bytes: &[u8]) -> String {
        format!("{MARK}{}", BASE64.encode(compress_to_vec(bytes, CompressionLevel::Fastest)))
    }

    #[test]
    fn what_trino_compressed_is_read_with_its_padding_and_without() {
        assert_eq!(unpack(LONG), Ok(long().into()));
        // Both by the same encoder: of 2,741 and of 2,199 characters.
        let either = format!("SELECT * FROM hive.raw.events WHERE {}y = ?", "x = 1 OR ".repeat(300));
        let padded =
            "$zstd:KLUv_WC1CdUBABQDU0VMRUNUICogRlJPTSBoaXZlLnJhdy5ldmVudHMgV0hFUkUgeCA9IDEgT1J5ID0gPwEADBT9UgY=";
        assert_eq!(unpack(padded), Ok(either.clone().into()));
        assert_eq!(unpack(padded.trim_end_matches('=')), Ok(either.into()));
        assert_eq!(unpack("SELECT '$zstd:'"), Ok("SELECT '$zstd:'".into()));
    }

    #[test]
    fn what_grows_over_the_bound_is_too_long_and_what_is_no_text_is_not_read() {
        let most = packed(&vec![b' '; MAX_LENGTH]);
        assert!(most.len() < 1000 && unpack(&most).is_ok());
        let too_long = Err(Error::TooLong { limit: MAX_LENGTH });
        assert_eq!(unpack(&packed(&vec![b' '; MAX_LENGTH + 1])), too_long);
        // Two frames; a window of 128 MiB; more blocks than there may be, all of them empty; and what is no UTF-8.
        let frame = compress_to_vec(&b"SELECT 1"[..], CompressionLevel::Fastest);
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        let blocks = [&window[..5], &[0x00], &[0; 3 * MAX_BLOCKS], &window[6..]].concat();
        assert_eq!(inflate(&[&window[..5], &[0x00], &window[6..]].concat()), Ok(vec![]));
        for bytes in [[frame.clone(), frame].concat(), window.into(), blocks, b"KLUv".into(), vec![]] {
            assert_eq!(inflate(&bytes), Err(Error::Packed));
        }
        for text in [packed(&[0xff, 0xfe]), format!("{MARK}no base64!"), format!("{MARK}KLUv/WC1"), MARK.to_owned()] {
            assert_eq!(unpack(&text), Err(Error::Packed), "{text}");
        }
    }

    #[test]
    fn no_damage_does_more_than_that_it_is_not_read() {
        let packed = BASE64.decode(&LONG[MARK.len()..]).expect("base64");
        for at in 0..packed.len() {
            assert_eq!(inflate(&packed[..at]), Err(Error::Packed), "{at}");
            for bit in 0..8 {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                assert!(inflate(&damaged).map_or(0, |text| text.len()) <= MAX_LENGTH, "{at}");
            }
        }
    }
}
