//! Trino's releases.

/// The number of a release: 476 of `476` and of `476-e.1`; none of what begins with no number.
pub fn release(version: &str) -> Option<u32> {
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_the_number_that_a_version_begins_with() {
        assert_eq!([release("476"), release("476-e.1"), release("1000.2")], [Some(476), Some(476), Some(1000)]);
        assert_eq!([release("dev"), release(""), release("-1")], [None; 3]);
    }
}
