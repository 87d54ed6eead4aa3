//! Kubernetes quantities (`500m`, `1.5Gi`) as numbers, as the API reference of `Quantity` defines their text.

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no quantity such as 512Mi or 4Gi")]
pub struct InvalidQuantity(pub String);

/// The number of bytes that a quantity of memory stands for, rounded down.
///
/// # Errors
/// When `text` is no quantity, negative, or beyond 2^63.
pub fn bytes(text: &str) -> Result<u64, InvalidQuantity> {
    let millis = millis(text).ok_or_else(|| InvalidQuantity(text.to_owned()))?;
    u64::try_from(millis / 1000).map_err(|_| InvalidQuantity(text.to_owned()))
}

/// Whether two texts stand for the same quantity: the API server rewrites `1000m` as `1`.
pub fn same_quantity(left: &str, right: &str) -> bool {
    left == right || matches!((millis(left), millis(right)), (Some(left), Some(right)) if left == right)
}

/// The value in thousandths; quantities finer than that are rounded up by the API server too.
fn millis(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-' && c != '+').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let thousandths = digits.checked_mul(factor_in_millis(suffix)?)?;
    Some(thousandths / scale)
}

fn factor_in_millis(suffix: &str) -> Option<i128> {
    let decimal = |exponent: u32| 10_i128.checked_pow(exponent);
    Some(match suffix {
        "m" => 1,
        "" => 1000,
        "k" => decimal(6)?,
        "M" => decimal(9)?,
        "G" => decimal(12)?,
        "T" => decimal(15)?,
        "P" => decimal(18)?,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        exponent if exponent.starts_with(['e', 'E']) => decimal(exponent[1..].parse::<u32>().ok()?.checked_add(3)?)?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_become_bytes() {
        for (text, number) in [
            ("1Gi", 1 << 30),
            ("1.5Gi", 3 << 29),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("128974848000m", 128_974_848),
            ("123Mi", 123 << 20),
        ] {
            assert_eq!(bytes(text), Ok(number), "{text}");
        }
        for text in ["", "Gi", "1Xi", "one", "-1Gi", "1.2.3"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_of_one_value_are_the_same() {
        assert!(same_quantity("1000m", "1"));
        assert!(same_quantity("1024Mi", "1Gi"));
        assert!(!same_quantity("1", "2"));
        assert!(!same_quantity("x", "y"));
    }
}
