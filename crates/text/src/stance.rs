//! The stance of a text: whether its writer states it, or reports, doubts, wishes or imagines it.
//!
//! Only a statement can replace another. Words of several languages are known; a text without one of them
//! counts as a statement.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// The stance of a writer toward a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stance {
    /// The writer states it.
    Stated,
    /// Someone else said it, or the writer doubts it.
    Doubtful,
    /// The writer wishes, supposes, dreams or invents it, or asks it.
    Imagined,
}

/// Words of doubt and of other people's claims. A word between spaces must be whole; others match anywhere.
const DOUBTFUL: &[&str] = &[
    " says ",
    " said ",
    " thinks ",
    " thought ",
    " believes ",
    " claims ",
    " claimed ",
    " swears ",
    " swore ",
    " reckons ",
    " insists ",
    " heard ",
    " hears ",
    " told me ",
    " tells me ",
    " tells us ",
    " according to ",
    " apparently ",
    " allegedly ",
    " supposedly ",
    " reportedly ",
    " rumour ",
    " rumor ",
    " rumours ",
    " rumors ",
    " maybe ",
    " perhaps ",
    " possibly ",
    " probably ",
    " not sure ",
    " unsure ",
    " i think ",
    " i guess ",
    " i believe ",
    " might ",
    " seems ",
    " seemed ",
    " could swear ",
    " dunno ",
    " unconfirmed ",
    " let slip ",
    " joked ",
    " jokes ",
    " joking ",
    " kidding ",
    " grumbled ",
    " whispered ",
    " hinted ",
    " argues ",
    " sagt ",
    " sagte ",
    " meint ",
    " meinte ",
    " behauptet ",
    " glaubt ",
    " angeblich ",
    " vielleicht ",
    " wohl ",
    " vermutlich ",
    " womöglich ",
    " laut ",
    " gehört , dass ",
    " gehört dass ",
    " gehört , ob ",
    " gehört habe ",
    " gehört hat ",
    " gehört haben ",
    " erzählt ",
    " anscheinend ",
    " soll ",
    " sollen ",
    " unsicher ",
    " dit ",
    " dit que ",
    " pense ",
    " prétend ",
    " affirme ",
    " selon ",
    " d'après ",
    " peut-être ",
    " paraît ",
    " apparemment ",
    " serait ",
    " aurait ",
    " dice ",
    " dicen ",
    " cree ",
    " según ",
    " quizá ",
    " quizás ",
    " tal vez ",
    " parece ",
    " supuestamente ",
    " a lo mejor ",
    " disse ",
    " diz ",
    " acha ",
    " talvez ",
    " segundo ",
    " parece que ",
    " dicono ",
    " secondo ",
    " forse ",
    " pare ",
    " sembra ",
    " crede ",
    " sarebbe ",
    " mówi ",
    " twierdzi ",
    " podobno ",
    " może ",
    " chyba ",
    " rzekomo ",
    " говорит ",
    " сказал ",
    " сказала ",
    " считает ",
    " может ",
    " возможно ",
    " кажется ",
    " якобы ",
    " слышал ",
    " слышала ",
    " вроде ",
    " diyor ",
    " dedi ",
    " söyledi ",
    " belki ",
    " galiba ",
    " sanırım ",
    " güya ",
    " emin değil",
    " zegt ",
    " zei ",
    " misschien ",
    " volgens ",
    " schijnbaar ",
    " säger ",
    " kanske ",
    " enligt ",
    "听说",
    "据说",
    "可能",
    "也许",
    "好像",
    "似乎",
    "觉得",
    "らしい",
    "かもしれ",
    "って言",
    "と言っ",
    "そうだ",
    "みたい",
    "たぶん",
    " 아마 ",
    " 아마도 ",
    "다고 하",
    "다던데",
    "래요",
    "것 같",
    "อาจ",
    "บอกว่า",
    "ได้ยินว่า",
    "शायद",
    "कहता",
    "कहती",
    " सुना ",
];
/// Words of wishes, conditions, dreams and fiction.
const IMAGINED: &[&str] = &[
    " wish ",
    " wishes ",
    " hope ",
    " hopes ",
    " hoping ",
    " would ",
    " if ",
    " dream ",
    " dreamt ",
    " dreamed ",
    " imagine ",
    " suppose ",
    " pretend ",
    " what if ",
    " in the story ",
    " in this story ",
    " in my novel ",
    " in the novel ",
    " in the game ",
    " in the film ",
    " in the movie ",
    " someday ",
    " one day ",
    " thinking about ",
    " considering ",
    " wenn ",
    " würde ",
    " wünsche ",
    " wünschte ",
    " hoffe ",
    " hoffentlich ",
    " träum",
    " geträumt",
    " im roman ",
    " im film ",
    " j'espère ",
    " rêv",
    " voudrais ",
    " aimerais ",
    " ojalá ",
    " soñ",
    " quisiera ",
    " me gustaría ",
    " espero ",
    " tomara ",
    " sonh",
    " gostaria ",
    " magari ",
    " sogn",
    " vorrei ",
    " spero ",
    " gdyby ",
    " jeśli ",
    " śniło ",
    " chciał",
    " если ",
    " бы ",
    " снилось ",
    " приснилось ",
    " хочу ",
    " надеюсь ",
    " keşke ",
    " eğer ",
    " rüya",
    " isterdim ",
    " als ik ",
    " hoop ",
    " droom",
    " hoppas ",
    " dröm",
    "如果",
    "希望",
    "梦",
    "要是",
    "もし",
    "たい",
    "夢",
    "だったら",
    "만약",
    "꿈",
    "면 좋",
    "ถ้า",
    "ฝัน",
    " अगर ",
    " सपना ",
    " सपने ",
    " काश ",
];

/// Words that begin a condition, if they begin a clause. Elsewhere they are reflexive ("se"), prepositions ("om") or
/// verbs ("falls").
const CONDITIONS: &[&str] = &[" , se ", " , si ", " , om ", " , falls "];

/// Phrases in which a word of the lists means something else: "zu laut" is loud, and "segundo piso" a floor. A space
/// is the end of a word, and a comma that of a clause.
const OTHER_MEANINGS: &str = " one day a | one day per | one day each | one day every | one day of | believes in \
    | zu laut | sehr laut | ziemlich laut | extrem laut | besonders laut | wirklich laut | etwas laut | wie laut \
    | laut , | laut und | laut oder | laut genug | laut ist | laut war | laut wird | laut werden | laut sein | laut in \
    | laut im | laut am | laut an | laut auf | laut bei | laut für | laut wie | laut aber | laut wegen | laut nachts \
    | laut vor | laut lesen | laut singen | laut sprechen | laut reden | laut lachen | laut denken | laut hören \
    | laut spielen | laut schnarchen | laut bellen | laut rufen | laut schreien | sich wohl | mich wohl | dich wohl \
    | uns wohl | euch wohl | wohl fühl| sehr wohl | zum wohl | glaubt an | erzählt gern | erzählt gerne \
    | autrement dit | pense à | paraît en | paraît le | paraît chaque | paraît tous | selon les besoins | se parece \
    | cree en | crede in | parece com | o segundo | el segundo | un segundo | um segundo | no segundo | do segundo \
    | del segundo | meu segundo | mi segundo | su segundo | seu segundo | por segundo | cada segundo | segundo , \
    | segundo piso | segundo andar | segundo filho | segundo hijo | segundo nombre | segundo nome | segundo plato \
    | segundo prato | segundo de | il secondo | un secondo | del secondo | al secondo | nel secondo | mio secondo \
    | suo secondo | per secondo | ogni secondo | secondo , | secondo piano | secondo figlio | secondo lavoro \
    | secondo nome | nie może | mówi po | не может | говорит по-| говорит на | een hoop | volgens schema \
    | volgens plan | enligt schema | enligt plan | säger upp |不可能|可能性|觉得冷|觉得热|觉得累|觉得疼|觉得痛|希望小学\
    |希望工程|冷たい|重たい|眠たい|平たい|ありがたい|めでたい|だいたい|いったい|ぜったい|たいへん|たいせつ|たいてい|たい焼き|たいやき|みたい|かもしれ\
    |もしもし|夢中|그래요|노래요|อาจารย์";
/// Verbs with particles at the end of their clause that make another verb of them: "sagt … ab" is to cancel.
const SEPARABLE: &[(&str, &[&str])] = &[
    ("sagt", &["ab", "zu"]),
    ("sagte", &["ab", "zu"]),
    ("zegt", &["af", "op", "toe"]),
    ("zei", &["af", "op", "toe"]),
];
/// Forms of "haben" in a clause that ends with "gehört", which is else "belongs to".
const HAVE_FORMS: &[&str] = &["habe", "hab", "hast", "hat", "haben", "habt", "hatte", "hatten"];

/// A word of each list, found without regard to case in ASCII.
static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = DOUBTFUL.iter().chain(IMAGINED).chain(CONDITIONS);
    AhoCorasick::builder().match_kind(MatchKind::Standard).build(words).ok()
});
/// The phrases of [`OTHER_MEANINGS`].
static OTHERS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(OTHER_MEANINGS.split('|')).ok());

impl Stance {
    /// Returns the stance of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.contains(['?', '？', '؟']) {
            return Self::Imagined;
        }
        let plain = plain_clauses(text);
        let (Some(words), Some(others)) = (WORDS.as_ref(), OTHERS.as_ref()) else { return Self::Doubtful };
        let others: Vec<_> = others.find_overlapping_iter(&plain).map(|found| found.range()).collect();
        let mut stance = Self::Stated;
        for found in words.find_overlapping_iter(&plain) {
            let is_other = others.iter().any(|other| {
                other.start <= found.start() && found.end() <= other.end && *other != found.range()
            });
            if is_other {
                continue;
            }
            if found.pattern().as_usize() >= DOUBTFUL.len() {
                return Self::Imagined;
            }
            stance = Self::Doubtful;
        }
        stance
    }
}

/// Returns the words of a text in lower case, with a comma before and after each clause.
fn plain_clauses(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 6);
    for c in text.chars().flat_map(char::to_lowercase) {
        let c = if c == '’' { '\'' } else { c };
        match c {
            ';' | '.' | ':' | '!' | '\n' => plain.push(','),
            c if c.is_alphanumeric() || matches!(c, ',' | '\'' | '-') || !c.is_ascii() => plain.push(c),
            _ => plain.push(' '),
        }
    }
    let mut clauses = String::with_capacity(plain.len() + 6);
    clauses.push_str(" , ");
    for clause in plain.split(',') {
        let words: Vec<&str> = clause.split(' ').filter(|word| !word.is_empty()).collect();
        let Some(last) = words.last() else { continue };
        let is_hearsay =
            *last == "gehört" && (words.len() == 1 || words.iter().any(|word| HAVE_FORMS.contains(word)));
        for word in &words {
            let is_separable =
                SEPARABLE.iter().any(|(verb, particles)| verb == word && particles.contains(last));
            clauses.push_str(if is_separable { "-" } else { word });
            clauses.push(' ');
        }
        clauses.push_str(if is_hearsay { "angeblich , " } else { ", " });
    }
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_others_and_wishes_are_no_statements() {
        let cases = [
            ("The office is in Porto.", Stance::Stated),
            ("Das Büro ist in Porto.", Stance::Stated),
            ("\"Elena isn't vegan\", says her ex", Stance::Doubtful),
            ("Maybe the office is in Oslo.", Stance::Doubtful),
            ("Angeblich ist das Büro in Oslo.", Stance::Doubtful),
            ("听说办公室在奥斯陆", Stance::Doubtful),
            ("I dreamt the contract was not signed.", Stance::Imagined),
            ("Tom would be happier if we didn't use Postgres", Stance::Imagined),
            ("Is the office in Oslo?", Stance::Imagined),
            ("The mayor lives in Maybury.", Stance::Stated),
            ("Ana se mudou para Lisboa.", Stance::Stated),
            ("Se chover, a festa é em casa.", Stance::Imagined),
            ("Oma's bezoekuur is om 10 uur.", Stance::Stated),
            ("Jag kommer inte, om det regnar.", Stance::Imagined),
            ("Easter falls on 5 April.", Stance::Stated),
            ("Laut Anna ist das Büro in Oslo.", Stance::Doubtful),
            ("Das Büro ist laut dem Chef in Oslo.", Stance::Doubtful),
            ("Ich habe gehört, dass das Büro in Oslo ist.", Stance::Doubtful),
            ("Ich hab von Anna gehört: das Büro ist in Oslo", Stance::Doubtful),
            ("Gehört: Büro in Oslo", Stance::Doubtful),
            ("Anna sagt, das Büro ist in Oslo.", Stance::Doubtful),
            ("Maria, secondo Anna, vive a Roma.", Stance::Doubtful),
            ("Segundo a Ana, o escritório é no Porto.", Stance::Doubtful),
            ("По-моему, Анна может быть дома.", Stance::Doubtful),
            ("Анна говорит, что офис в Осло.", Stance::Doubtful),
            ("彼は東京に住んでいるかもしれない", Stance::Doubtful),
            ("寿司を食べたい", Stance::Imagined),
            ("아마 서울에 살아요", Stance::Doubtful),
            ("काश मेरे पास घर होता", Stance::Imagined),
        ];
        for (text, expected) in cases {
            assert_eq!(Stance::of(text), expected, "{text}");
        }
    }

    #[test]
    fn words_with_another_meaning_report_and_wish_nothing() {
        for text in [
            "Das Auto gehört Anna.",
            "Das ist das Auto, das Anna gehört.",
            "Das Rad gehört zum Haus",
            "Der Drucker ist laut.",
            "Der Nachbar ist zu laut",
            "Die Straße ist laut und eng.",
            "Anna kann nicht laut singen.",
            "Der Arzt sagt den Termin ab.",
            "Ich fühle mich wohl in Bonn.",
            "Oma zegt haar abonnement op.",
            "Er is een hoop werk.",
            "Ana vive no segundo andar.",
            "Mi hermana vive en el segundo piso.",
            "Ana se parece a su madre.",
            "L'ufficio è al secondo piano.",
            "Ho bisogno di occhiali.",
            "Pense à acheter du pain.",
            "Le journal paraît le lundi.",
            "Anna mówi po polsku.",
            "Tomek nie może jeść orzechów.",
            "Анна говорит по-русски.",
            "Анна не может есть орехи.",
            "Jag säger upp avtalet i maj.",
            "I work from home one day a week.",
            "Tom tells stories.",
            "这不可能完成",
            "冷たい水が好きです",
            "だいたい10時に起きます",
            "아마존에서 일해요",
            "อาจารย์ชื่อสมชาย",
            "आकाश का घर दिल्ली में है",
            "प्रकाश काशी में रहता है",
        ] {
            assert_eq!(Stance::of(text), Stance::Stated, "{text}");
        }
    }
}
