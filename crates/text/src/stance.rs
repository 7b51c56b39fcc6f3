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
    " tells ",
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
    " gehört ",
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
    "아마",
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
    "सुना",
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
    "अगर",
    "सपना",
    "काश",
];

/// Words that begin a condition, if they begin a clause. Elsewhere they are reflexive ("se"), prepositions ("om") or
/// verbs ("falls").
const CONDITIONS: &[&str] = &[" , se ", " , si ", " , om ", " , falls "];

/// A word of each list, found without regard to case in ASCII.
static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = DOUBTFUL.iter().chain(IMAGINED).chain(CONDITIONS);
    AhoCorasick::builder().match_kind(MatchKind::Standard).build(words).ok()
});

impl Stance {
    /// Returns the stance of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.contains(['?', '？', '؟']) {
            return Self::Imagined;
        }
        // Each clause begins with a comma.
        let mut plain = String::with_capacity(text.len() + 4);
        plain.push_str(" , ");
        for c in text.chars().flat_map(char::to_lowercase) {
            let c = if c == '’' { '\'' } else { c };
            match c {
                ',' | ';' | '.' | ':' | '!' | '\n' => plain.push_str(" , "),
                c if c.is_alphanumeric() || matches!(c, '\'' | '-') || !c.is_ascii() => plain.push(c),
                _ => plain.push(' '),
            }
        }
        plain.push(' ');
        let plain: String = plain
            .split(' ')
            .filter(|word| !word.is_empty())
            .fold(" ".into(), |plain, word| plain + word + " ");
        let Some(words) = WORDS.as_ref() else { return Self::Doubtful };
        let mut stance = Self::Stated;
        for found in words.find_overlapping_iter(&plain) {
            if found.pattern().as_usize() >= DOUBTFUL.len() {
                return Self::Imagined;
            }
            stance = Self::Doubtful;
        }
        stance
    }
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
        ];
        for (text, expected) in cases {
            assert_eq!(Stance::of(text), expected, "{text}");
        }
    }
}
