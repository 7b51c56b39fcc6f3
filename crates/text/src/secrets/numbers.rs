//! Numbers with check digits: payment cards, IBANs, and the recovery keys of BitLocker.

use std::ops::Range;

use super::SecretMatch;

/// Numbers that card schemes and payment services publish for tests.
const TEST_CARDS: &[&str] = &[
    "4242424242424242",
    "4111111111111111",
    "4012888888881881",
    "4222222222222",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "5200828282828210",
    "5105105105105100",
    "378282246310005",
    "371449635398431",
    "378734493671000",
    "6011111111111117",
    "6011000990139424",
    "6011981111111113",
    "3056930009020004",
    "36227206271667",
    "30569309025904",
    "38520000023237",
    "3566002020360505",
    "3530111333300000",
    "6200000000000005",
    "6205500000000000004",
    "4917610000000000",
    "5555341244441115",
    "4988438843884305",
    "2222400070000005",
    "5454545454545454",
    "4444333322221111",
    "4917300800000000",
    "4462030000000000",
    "4484070000000000",
    "6304000000000000",
    "4263982640269299",
];
/// IBANs that the register of its standard and encyclopedias print.
const EXAMPLE_IBANS: &[&str] = &[
    "GB29NWBK60161331926819",
    "GB82WEST12345698765432",
    "GB33BUKB20201555555555",
    "DE89370400440532013000",
    "DE75512108001245126199",
    "FR1420041010050500013M02606",
    "FR7630006000011234567890189",
    "ES9121000418450200051332",
    "ES7921000813610123456789",
    "IT60X0542811101000000123456",
    "NL91ABNA0417164300",
    "NL02ABNA0123456789",
    "CH9300762011623852957",
    "CH5604835012345678009",
    "AT611904300234573201",
    "AT483200000012345864",
    "BE68539007547034",
    "BE71096123456769",
    "PL61109010140000071219812874",
    "PT50000201231234567890154",
    "PT50002700000001234567833",
    "TR330006100519786457841326",
    "SE4550000000058398257466",
    "DK5000400440116243",
    "NO9386011117947",
    "FI2112345600000785",
    "IE29AIBK93115212345678",
    "CZ6508000000192000145399",
    "DE02120300000000202051",
    "DE12500105170648489890",
    "LU280019400644750000",
    "HU42117730161111101800000000",
    "GR1601101250000000012300695",
    "RO49AAAA1B31007593840000",
];
/// The lengths of IBANs by country.
const IBAN_CHARS: &[(usize, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FO GL NL SD FK"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM TL SO"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];
/// Words before a number that is not a card's.
const OTHER_NUMBERS: &[&str] = &[
    "imei",
    "isbn",
    "ean",
    "gtin",
    "order",
    "tracking",
    "invoice",
    "serial",
    "parcel",
    "shipment",
    "ticket",
    "booking",
    "reference",
    "meid",
    "iccid",
    "sim",
    "bestell",
    "sendung",
    "rechnung",
    "suivi",
    "commande",
    "pedido",
    "seguimiento",
    "rastreio",
    "ordine",
    "spedizione",
    "przesył",
    "zamówien",
    "заказ",
    "трек",
    "takip",
    "sipariş",
    "订单",
    "快递",
    "单号",
    "注文",
    "追跡",
    "伝票",
    "주문",
    "운송장",
    "ऑर्डर",
    "ups ",
    "usps",
    "fedex",
    "dhl",
    "timestamp",
    "case ",
    "transaction",
    "snowflake",
    "channel",
    "message id",
    "user id",
    "part no",
];
/// Words before a number that say that it is a card's.
const CARD_WORDS: &[&str] = &[
    "card",
    "visa",
    "mastercard",
    "amex",
    "karte",
    "carte",
    "tarjeta",
    "cartão",
    "carta",
    "kart",
    "карт",
    "卡",
    "カード",
    "카드",
    "कार्ड",
    "บัตร",
];

/// Groups of digits after a card number that may not be part of it.
const TAIL_GROUPS_MAX: usize = 3;

/// Adds the card numbers, IBANs and recovery keys of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(u8::is_ascii_digit) {
        let start = at + offset;
        let number = Number::read(text, start);
        at = number.at.end.max(start + 1);
        let before = start.checked_sub(1).map(|before| bytes[before]);
        if before.is_some_and(|b| b.is_ascii_alphanumeric() || b"_.-+/$".contains(&b))
            || text[..start].ends_with(['€', '£', '¥'])
        {
            if let Some(iban) = iban(text, start) {
                at = iban.at.end;
                found.push(iban);
            }
            continue;
        }
        let card = number.cards().find(|card| is_card(text, card));
        let (rule, number) = if let Some(card) = card {
            at = card.at.end;
            ("card number", card)
        } else if is_recovery_key(&number) {
            ("BitLocker recovery key", number)
        } else {
            continue;
        };
        found.push(SecretMatch { rule: rule.into(), at: number.at });
    }
}

/// Digits with at most one space or hyphen between them.
struct Number {
    at: Range<usize>,
    digits: String,
    /// The length of each group of digits.
    groups: Vec<usize>,
}

impl Number {
    /// Reads the number that starts at an index.
    fn read(text: &str, start: usize) -> Self {
        let bytes = text.as_bytes();
        let (mut digits, mut groups, mut end, mut group) = (String::new(), Vec::new(), start, 0);
        while let Some(b) = bytes.get(end) {
            if b.is_ascii_digit() {
                digits.push(char::from(*b));
                group += 1;
                end += 1;
            } else if matches!(b, b' ' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
                groups.push(std::mem::take(&mut group));
                end += 1;
            } else {
                break;
            }
        }
        groups.push(group);
        Self { at: start..end, digits, groups }
    }

    /// Iterates over the number and the numbers before its last groups, which may be a month of expiry and a
    /// security code: "4539148803436467 04/28".
    fn cards(&self) -> impl Iterator<Item = Self> {
        let tail = self.groups.iter().rev().take(TAIL_GROUPS_MAX).take_while(|group| **group <= 4).count();
        let most = tail.min(self.groups.len() - 1);
        (0..=most).map(|tail| {
            let dropped = &self.groups[self.groups.len() - tail..];
            let digits: usize = dropped.iter().sum();
            Self {
                at: self.at.start..self.at.end - digits - tail,
                digits: self.digits[..self.digits.len() - digits].to_owned(),
                groups: self.groups[..self.groups.len() - tail].to_vec(),
            }
        })
    }
}

/// Returns whether a number is a payment card's: the prefix and length of a scheme, groups as on a card, and
/// a valid check digit (Luhn, ISO/IEC 7812).
fn is_card(text: &str, number: &Number) -> bool {
    let digits = &number.digits;
    let groups = number.groups.as_slice();
    let is_grouped =
        matches!(groups, [_] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3] | [4, 4, 4, 1..=3]);
    let after = text.as_bytes().get(number.at.end);
    let followed = after.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if !is_grouped || followed || !is_scheme(digits) || !is_luhn(digits) {
        return false;
    }
    let zeros = digits.bytes().filter(|b| *b == b'0').count();
    let start = text.ceil_char_boundary(number.at.start.saturating_sub(48));
    let before = text[start..number.at.start].to_lowercase();
    let says = |words: &[&str]| words.iter().filter_map(|word| before.rfind(word)).max();
    let is_other = says(OTHER_NUMBERS).is_some_and(|other| says(CARD_WORDS).is_none_or(|card| card < other));
    !is_test_card(digits) && zeros * 2 < digits.len() && !is_other
}

/// Returns whether digits are a card number for tests. Stripe's start with six that no bank has.
fn is_test_card(digits: &str) -> bool {
    TEST_CARDS.contains(&digits) || digits.len() == 16 && digits.starts_with("400000")
}

/// Returns whether a text contains a card number for tests.
pub(super) fn has_test_card(text: &str) -> bool {
    let bytes = text.as_bytes();
    let starts = (0..bytes.len())
        .filter(|at| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[at - 1].is_ascii_digit()));
    starts.map(|start| Number::read(text, start)).any(|number| is_test_card(&number.digits))
}

/// Returns whether a card scheme gives out numbers of this prefix and length.
fn is_scheme(digits: &str) -> bool {
    let prefix = |len: usize| digits.get(..len).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match digits.len() {
        13 | 19 if digits.starts_with('4') => true,
        14 => matches!(three, 300..=305) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37),
        16 => {
            digits.starts_with('4')
                || matches!(two, 50..=58 | 60 | 62 | 65 | 67 | 81 | 82)
                || matches!(four, 2200..=2204 | 2221..=2720 | 3528..=3589 | 6304 | 6390 | 9792)
                || matches!(three, 644..=649)
        }
        17..=19 => matches!(two, 62 | 67 | 60 | 65),
        _ => false,
    }
}

/// Returns whether the check digit of a card number is valid.
fn is_luhn(digits: &str) -> bool {
    let doubled =
        |(at, digit): (usize, u32)| if at % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 };
    let sum: u32 = digits.chars().rev().filter_map(|c| c.to_digit(10)).enumerate().map(doubled).sum();
    sum.is_multiple_of(10)
}

/// Returns the IBAN whose check digits start at an index: two letters before, the length of its country, and
/// a remainder of 1 (ISO 7064, modulo 97).
fn iban(text: &str, digits_at: usize) -> Option<SecretMatch> {
    let bytes = text.as_bytes();
    let start = digits_at.checked_sub(2)?;
    let country = text.get(start..digits_at)?.to_ascii_uppercase();
    let free = start == 0 || !bytes[start - 1].is_ascii_alphanumeric() && bytes[start - 1] != b'_';
    let (chars, _) =
        IBAN_CHARS.iter().find(|(_, countries)| countries.split(' ').any(|one| one == country))?;
    let (mut iban, mut end) = (String::with_capacity(*chars), start);
    while iban.len() < *chars {
        match *bytes.get(end)? {
            b if b.is_ascii_alphanumeric() => iban.push(char::from(b.to_ascii_uppercase())),
            b' ' | b'-' if end > digits_at && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => return None,
        }
        end += 1;
    }
    let followed = bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (free && !followed && remainder_97(&iban) == 1 && !EXAMPLE_IBANS.contains(&iban.as_str()))
        .then(|| SecretMatch { rule: "IBAN".into(), at: start..end })
}

/// Returns the remainder modulo 97 of an IBAN with its first four characters moved to the end.
fn remainder_97(iban: &str) -> u32 {
    let (first, rest) = iban.split_at(4);
    rest.chars().chain(first.chars()).filter_map(|c| c.to_digit(36)).fold(0, |remainder, digit| {
        if digit < 10 { (remainder * 10 + digit) % 97 } else { (remainder * 100 + digit) % 97 }
    })
}

/// Returns whether a number is a BitLocker recovery key: eight groups of six digits, each a multiple of 11.
fn is_recovery_key(number: &Number) -> bool {
    let is_part = |at: usize| {
        number
            .digits
            .get(at * 6..at * 6 + 6)
            .and_then(|part| part.parse::<u32>().ok())
            .is_some_and(|part| part.is_multiple_of(11))
    };
    number.groups == [6; 8] && (0..8).all(is_part) && number.digits.bytes().any(|b| b != b'0')
}
