//! The difference between a setting of a program, which has one value at a time, and a dose, a measurement or a time,
//! of which there may be many.
//!
//! A setting is certain only if its name says so. A name in an unknown language or about anything else is no setting.

use super::english::{DOSE_UNITS, TIME_WORDS};

/// Words of names whose numbers are settings.
const TECHNICAL: &str = "port ports timeout timeouts retry retries limit limits threads workers replicas pool cache \
    buffer batch queue conn connections ttl interval delay backoff keepalive retention cooldown quota memory mem cpu \
    cpus disk heap log debug verbose mode flag feature version indent tab font zoom dpi fps quality concurrency \
    parallelism window context tokens seed epochs page shards partitions depth priority enabled disabled enable \
    disable vpn mtu tls ssl proxy";
/// Words that are technical only besides other words of a name. "Max" may be a person.
const BOUNDS: &str = "max min";
/// Words of names whose values may be in minutes, "5m". Elsewhere it may be a length.
const DURATIONS: &str = "timeout timeouts ttl interval delay backoff keepalive retention cooldown";
/// Values of switches and levels.
const SWITCHES: &str = "true false on off yes no enabled disabled trace debug info warn warning error none always \
    never auto";
/// Units of technical values, in lower case.
const UNITS: &str = "% px pt em rem vh vw dpi fps b kb mb gb tb pb kib mib gib tib ki mi gi ti bit bits byte bytes ns \
    us µs ms s sec secs second seconds min mins minute minutes h hr hrs hour hours d day days hz khz mhz ghz kbps mbps \
    gbps";
/// Units of technical values that mean something else in lower case.
const CAPITAL_UNITS: &str = "K M G T";
/// Words between a number and a place or a person.
const PREPOSITIONS: &str = "in on for bei für auf en pour para per voor för dla для";

/// Words of measurements and doses.
const MEASURED: &str = "dose doses dosage dosages med meds drug drugs pill pills drop drops puff puffs blood sugar \
    weight weights weigh weighs weighed height heights bmi pressure systolic diastolic pulse heart bpm temp \
    temps fever pain mood sleep slept steps oxygen symptom symptoms waist hip chest iron vitamin potassium sodium \
    hormone hormones tsh ldl hdl lab labs hemoglobin ferritin reading readings measurement measurements measured \
    mileage odometer humidity age \
    dosis dosen druck größe groesse schritte schlaf alter poids taille tension pression sang goutte gouttes sommeil \
    peso altura estatura presión presion tensión gotas dolor sueño pasos pressão pressao dor sono pressione polso \
    sonno passi dolore gocce pil pijn lengte stappen meting lek leki waga ból sen kroki вес рост боль сон шаги \
    doz kan kilo boy ateş ağrı uyku dos vikt längd tryck sömn steg 약 키 ยา دم طول نوم";
/// Parts of words of measurements and doses.
const MEASURED_PARTS: &str = "dosier dosag dozow medica medika medicin medicij tablet insulin glucos glukos glucoz \
    glicem glucem glykäm glycém glycem cholest colest temperat hba1c spo2 gewicht blut zucker fieber schmerz stimmung \
    puls kalori calori messwert zählerstand zaehlerstand posolog comprim fièvre fievre pouls douleur humeur azúcar \
    azucar açúcar acucar zuccher suiker socker şeker sangre sangue fiebre febre febbre koorts gorączk feber altezza \
    körper koerper hartslag hjärt blod bloed krew krwi cukier cukru ciśnien cisnien tętn wzrost dawk доз лекарств \
    таблет кров сахар глюкоз давлен пульс температур настроен ilaç tansiyon nabız sıcaklık \
    剂量 劑量 用量 药 藥 薬 血 体重 體重 身高 身長 体温 體溫 温度 溫度 心率 心拍 脉搏 脈拍 胰岛素 睡眠 步数 歩数 \
    복용 혈당 혈압 체중 몸무게 체온 온도 맥박 심박 수면 걸음 น้ำตาล ความดัน น้ำหนัก ส่วนสูง อุณหภูมิ ชีพจร ขนาดยา \
    खुराक दवा शुगर रक्त वजन दबाव तापमान नाड़ी नींद جرعة دواء سكر ضغط حرارة نبض وزن";
/// Words of names whose values are read from time to time, or are times.
const LOGGED: &str = "usage used load utilization uptime free available current average avg today time \
    date hour day week month year when score scores points goals price balance distance battery uhrzeit datum tag \
    heure jour fecha hora godzina дата время tarih saat 时间 時間 日期 日時 시간 날짜";
/// Words that limit another statement: conditions, exceptions, times, places and reasons.
const LIMITING: &str = "if unless when while until till except only but because without during not no never sometimes \
    mostly maybe for as in on at before after since from with condition conditions valid \
    wenn falls außer ausser nur aber weil bis ohne nicht kein keine während bei im am nach vor seit bedingung gültig \
    si sauf quand seulement mais car jusqu'à sans pas pendant en au depuis avant après hors condition \
    salvo excepto cuando solo sólo pero porque hasta sin durante desde antes después condición \
    se exceto quando só apenas mas até sem não em condição tranne eccetto ma perché fino senza non da condizione \
    als behalve alleen maar omdat tot zonder niet geen tijdens op jeśli gdy kiedy oprócz tylko ale bo do bez nie \
    podczas w od если кроме когда только но до без не в с eğer hariç sadece ama kadar değil om utom när bara men \
    tills utan inte under i";
/// Parts of words that limit another statement, in scripts without spaces or with endings.
const LIMITING_PARTS: &str = "除 只 仅 如果 直到 不 時 时 だけ とき ない 以外 まで もし \
    만 때 제외 않 아니 เฉพาะ ยกเว้น ถ้า เมื่อ ไม่ अगर सिवाय केवल जब नहीं";

fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}

/// Returns whether a word, in lower case, is a day, a month, a part of a day, a year or a time such as 8:10.
pub(super) fn is_time_word(word: &str) -> bool {
    let is_clock = word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit());
    let is_year = word.len() == 4 && word.parse().is_ok_and(|year: u16| (1900..2100).contains(&year));
    is_clock || is_year || TIME_WORDS.contains(&word)
}

/// Returns the words of a text in lower case. Joints and humps of identifiers divide words.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in text.chars() {
        let is_hump = c.is_uppercase() && before.is_lowercase();
        let is_part = c.is_alphanumeric() || matches!(c, '%' | '\'') || !c.is_ascii() && !c.is_whitespace();
        if is_hump || !is_part {
            words.push(String::new());
        }
        if is_part && let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns whether a word, in lower case, names a measurement or a dose.
pub(super) fn is_measured(word: &str) -> bool {
    has(MEASURED, word) || MEASURED_PARTS.split_ascii_whitespace().any(|part| word.contains(part))
}

/// Returns whether a text names a measurement, a dose or a time.
pub(super) fn is_about_measurement(text: &str) -> bool {
    words(text)
        .iter()
        .any(|word| is_measured(word) || has(LOGGED, word) || is_time_word(word) || is_dose(word))
}

/// Returns whether a word is the unit of a dose, maybe with its number: "mg", "5mg".
pub(super) fn is_dose(word: &str) -> bool {
    DOSE_UNITS.contains(&word.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',')))
}

/// Returns whether a text may limit a statement beside it.
pub(super) fn is_limiting(text: &str) -> bool {
    words(text).iter().any(|word| {
        has(LIMITING, word) || LIMITING_PARTS.split_ascii_whitespace().any(|part| word.contains(part))
    })
}

/// Returns whether a name and a value are certainly a setting of a program.
///
/// `is_identifier` says whether the name has the form of one. `qualifier` is the rest of the line.
pub(super) fn is_setting(name: &str, is_identifier: bool, value: &str, qualifier: &str) -> bool {
    let named = words(name);
    let is_technical = named.iter().any(|word| has(TECHNICAL, word) || named.len() > 1 && has(BOUNDS, word));
    if is_about_measurement(name) || is_time_word(value) || is_about_measurement(qualifier) {
        return false;
    }
    if has(SWITCHES, &value.to_lowercase()) {
        return is_technical || is_identifier;
    }
    let number = value.trim_end_matches(|c: char| c.is_alphabetic() || c == '%');
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || c == '.')
        && number.matches('.').count() < 2;
    let is_unit = |unit: &str| {
        has(UNITS, &unit.to_lowercase())
            || has(CAPITAL_UNITS, unit)
            || unit == "m" && named.iter().any(|word| has(DURATIONS, word))
    };
    let unit = &value[number.len()..];
    let rest = words(qualifier);
    let has_known_rest = rest.first().is_none_or(|first| is_unit(first) || has(PREPOSITIONS, first));
    is_technical && is_number && (unit.is_empty() || is_unit(unit)) && has_known_rest
}
