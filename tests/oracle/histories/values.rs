//! Values of every kind, as SQL.

use fastrand::Rng;

const INTEGERS: &[i64] = &[
    0,
    1,
    2,
    -1,
    127,
    128,
    -128,
    -129,
    32_767,
    32_768,
    -32_769,
    8_388_607,
    8_388_608,
    2_147_483_647,
    2_147_483_648,
    -2_147_483_649,
    140_737_488_355_327,
    140_737_488_355_328,
    9_007_199_254_740_993,
    i64::MAX,
    i64::MIN + 1,
];

const REALS: &[&str] = &[
    "0.0",
    "-0.0",
    "1.0",
    "-3.0",
    "0.1",
    "1e15",
    "123456789.125",
    "5e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "9e999",
    "-9e999",
    "9007199254740993.0",
    "9.2233720368547758e18",
    "-9.2233720368547758e18",
    "0.30000000000000004",
    "1e23",
    "3.0e-5",
];

const TEXTS: &[&str] = &[
    "''",
    "'a'",
    "'A'",
    "'b '",
    "'it''s'",
    "'say \"x\"'",
    "'two\nlines'",
    "'cr\r\nlf'",
    "'\r'",
    "'-- no comment'",
    "'; DROP'",
    "'12'",
    "'1.0'",
    "' 7'",
    "'0x1F'",
    "'1e5'",
    "'\u{fc}\u{f1}\u{ed}'",
    "'\u{1f600} \u{4e2d}'",
    "'null'",
    "'\\x00'",
    "'%s'",
    "'\u{feff}bom'",
    "CAST(x'610062' AS TEXT)",
    "CAST(x'6100620063006400' AS TEXT)",
    "CAST(x'00000000' AS TEXT)",
    "char(97,0,39,98)",
    "char(10)",
    "char(1114111,128)",
    "CAST(x'ff41' AS TEXT)",
    "CAST(x'00d80041' AS TEXT)",
];

/// A value for a column whose type is `kind`; mostly of that type.
pub(super) fn value(random: &mut Rng, kind: &str, page_bytes: u32) -> String {
    let kind = kind.to_ascii_uppercase();
    let fitting = random.u32(..10) > 0;
    match kind.as_str() {
        _ if random.u32(..12) == 0 => "NULL".to_owned(),
        "INT" | "INTEGER" if fitting => integer(random),
        "REAL" | "DOUBLE" if fitting => {
            if random.u32(..3) == 0 {
                integer(random)
            } else {
                real(random)
            }
        }
        "TEXT" if fitting => text(random, page_bytes),
        "BLOB" if fitting => blob(random, page_bytes),
        _ => match random.u32(..10) {
            0..=2 => integer(random),
            3 | 4 => real(random),
            5..=7 => text(random, page_bytes),
            _ => blob(random, page_bytes),
        },
    }
}

/// A value for a key: of few, so that keys meet.
pub(super) fn key(random: &mut Rng, kind: &str) -> String {
    let kind = kind.to_ascii_uppercase();
    match kind.as_str() {
        "INT" | "INTEGER" => random.i64(-3..70).to_string(),
        "BLOB" => format!("x'{:02x}'", random.u8(..40)),
        _ if random.u32(..12) == 0 => "NULL".to_owned(),
        "REAL" => format!("{}.{}", random.u32(..30), random.u32(..2) * 5),
        // The last one is broken: in UTF-16, a session does not find its row again.
        _ if random.u32(..8) == 0 => TEXTS[random.usize(..TEXTS.len() - 1)].to_owned(),
        _ => {
            let letter = ["k", "K", "key ", "\u{e9}", "lo\u{301}ng key of several words "];
            format!("'{}{}'", letter[random.usize(..letter.len())], random.u32(..30))
        }
    }
}

fn integer(random: &mut Rng) -> String {
    match random.u32(..3) {
        0 => INTEGERS[random.usize(..INTEGERS.len())].to_string(),
        1 => random.i64(-100..100).to_string(),
        _ => (random.i64(..) >> random.u32(..63)).max(-i64::MAX).to_string(),
    }
}

fn real(random: &mut Rng) -> String {
    match random.u32(..3) {
        0 => format!("{:?}", random.f64() * 1e3),
        1 => {
            let number = f64::from_bits(random.u64(..));
            if number.is_finite() { format!("{number:e}") } else { "0.5".to_owned() }
        }
        _ => REALS[random.usize(..REALS.len())].to_owned(),
    }
}

/// Bytes of a long value: seldom of many pages.
fn length(random: &mut Rng, page_bytes: u32) -> u32 {
    let page_bytes = page_bytes.min(4096);
    match random.u32(..12) {
        0 => random.u32(..page_bytes * 12),
        1..=3 => random.u32(..page_bytes * 2),
        _ => random.u32(..page_bytes),
    }
}

fn text(random: &mut Rng, page_bytes: u32) -> String {
    match random.u32(..10) {
        0 => {
            let bytes = length(random, page_bytes);
            let word = ["abc ", "\u{fc}", "'' ", "\n"][random.usize(..4)];
            format!("replace(hex(zeroblob({})), '00', '{word}')", bytes / 4)
        }
        1..=4 => TEXTS[random.usize(..TEXTS.len())].to_owned(),
        _ => format!("'text {}'", random.u32(..1000)),
    }
}

fn blob(random: &mut Rng, page_bytes: u32) -> String {
    match random.u32(..6) {
        0 => "x''".to_owned(),
        1 => format!("zeroblob({})", length(random, page_bytes)),
        2 => {
            let (bytes, byte) = (length(random, page_bytes), random.u8(..));
            format!("CAST(replace(hex(zeroblob({bytes})), '00', char({byte})) AS BLOB)")
        }
        _ => {
            (0..random.usize(..12))
                .fold("x'".to_owned(), |text, _| text + &format!("{:02x}", random.u8(..)))
                + "'"
        }
    }
}
