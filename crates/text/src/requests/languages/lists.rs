//! The lists of phrases that each language has, and how they are searched for.

macro_rules! lists {
    ($($(#[$doc:meta])* $list:ident = $key:literal, $form:ident;)*) => {
        /// A list of phrases, with the key that it has in `languages/*.toml`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum List { $($(#[$doc])* $list),* }

        impl List {
            pub(super) const ALL: &[Self] = &[$(Self::$list),*];

            /// Returns the key of the list in `languages/*.toml`.
            pub(super) const fn key(self) -> &'static str {
                match self { $(Self::$list => $key),* }
            }

            /// Returns how the phrases are searched for.
            pub(super) const fn form(self) -> Form {
                match self { $(Self::$list => Form::$form),* }
            }
        }
    };
}

lists! {
    /// Chatter before a request: "oh and".
    Openers = "openers", Part;
    /// Polite words before a request: "could you please".
    Polite = "polite", Part;
    /// Words before a request at the start of a clause: "you should".
    Wrappers = "wrappers", Part;
    /// Chatter after a request: "thanks".
    Closers = "closers", Part;
    /// What may follow a request about a text beside it: "keep that in mind when …".
    Tails = "tails", Part;
    /// Words that join a request and its text: "that".
    Joins = "joins", Part;
    /// Requests to remember a text.
    Remember = "remember", Clause;
    /// Requests to remember what stands before or after: "remember that please".
    RememberThis = "remember_this", Clause;
    /// Weak requests to remember, which may also concern the answer at hand: "note that …".
    Note = "note", Clause;
    /// Standing instructions, which are saved as a whole: "whenever I ask …".
    Whenever = "whenever", Clause;
    /// Starts of texts that are no facts: "remember when …".
    NoFact = "no_fact", TextStart;
    /// Words that restrict a request to the present answer: "in this chat".
    OnlyNow = "only_now", Words;
    /// Corrections: "that's wrong, …".
    Correct = "correct", Clause;
    /// Corrections of what was said just before: "I meant …".
    Meant = "meant", Clause;
    /// Corrections if the text is about the user: "no, …".
    CorrectOwn = "correct_own", Clause;
    /// Requests to correct the memory after what stands before or after: "update your notes".
    CorrectThis = "correct_this", Clause;
    /// Starts of texts about the user and their things: "my".
    Own = "own", TextStart;
    /// Requests to forget one thing.
    Forget = "forget", Clause;
    /// Requests to forget all about a subject.
    ForgetAll = "forget_all", Clause;
    /// Requests to forget what was saved last.
    ForgetThis = "forget_this", Clause;
    /// Requests to forget everything about the user.
    ForgetMe = "forget_me", Clause;
    /// Starts of texts that name no memory: "forget it".
    NoMemory = "no_memory", TextStart;
    /// Questions that name a memory: "forget where I live".
    NamingClause = "clause", TextWhole;
    /// Questions about what is known of a subject.
    Known = "list", Clause;
    /// Questions about what is known of the user.
    KnownOfMe = "list_me", Clause;
    /// Requests to remind of a text at a time that it names: "remind me tomorrow to …".
    Remind = "remind", Clause;
    /// Requests to remind when a topic comes up, with the topic before the text.
    RemindWhen = "remind_when", Clause;
    /// Requests to remind when a topic comes up, with the text before the topic.
    RemindToWhen = "remind_to_when", Clause;
    /// Words for the user: "me".
    Me = "me", TextWhole;
    /// Starts of questions and of tasks: "what", "can you".
    Question = "question", Start;
    /// Words of wishes, doubts, hypotheses, dreams and fiction.
    Unsure = "unsure", Words;
    /// Words of reported speech: "she says".
    Reported = "reported", Words;
    /// The user's own speech, which is not reported: "i told you".
    OwnSpeech = "own_speech", Words;
    /// Starts of lasting statements: "i live".
    Lasting = "lasting", Start;
    /// Words of statements about the present chat or moment.
    Passing = "passing", Words;
    /// Words that only a request to the memory has: "your memory".
    Memory = "memory", Words;
    /// Verbs of changes, of the user or of others: "sold".
    Changed = "changed", Words;
    /// Changes of the user's own: "i'm off".
    ChangedOwn = "changed_own", Words;
    /// That something is no longer so: "no longer".
    NoLonger = "no_longer", Words;
    /// The same beside a word of denial: "anymore".
    NoMore = "no_more", Words;
    /// Verbs for what someone has, which is a change if it is new: "got".
    Acquired = "acquired", Words;
    /// Words for what is new: "new".
    New = "new", Words;
    /// Changes of the home: "moved to".
    MovedHome = "moved_home", Words;
    /// Changes of the job: "new job".
    NewJob = "new_job", Words;
    /// Verbs of a request to delete something, before what it names: "delete".
    Drop = "drop", Words;
    /// The same after what it names: "kann weg".
    DropLast = "drop_last", Words;
    /// Verbs of a request to change something, before what it names: "change".
    Amend = "amend", Words;
    /// The same after what it names: "bitte ändern".
    AmendLast = "amend_last", Words;
    /// Verbs of a request to remember something, before it: "jot down".
    Save = "save", Words;
    /// The same after it: "覚えておいて".
    SaveLast = "save_last", Words;
    /// Verbs of a request to list what is known: "show".
    Show = "show", Words;
    /// Words of a question about what is known: "have you saved".
    KnownWords = "known", Words;
    /// Words for what is wrong: "mixed up".
    Wrong = "wrong", Words;
    /// Words before what is known wrongly: "you still have".
    Still = "still", Words;
    /// Words before what is new: "now that".
    NowThat = "now_that", Words;
    /// Words for a memory: "note", "the one".
    Entry = "entry", Words;
    /// Words for several memories: "stuff".
    Entries = "entries", Words;
    /// Words for all that is known: "everything".
    Everything = "everything", Words;
    /// Words before a subject: "about".
    About = "about", Words;
    /// Words for what Lar has stored: "you have", "you noted".
    Stored = "stored", Words;
    /// Words for what shall stay: "keep the rest".
    Spare = "spare", Words;
    /// Words before what shall stay, or after it: "except".
    Except = "except", Words;
    /// Words that add nothing to a request: "only".
    Filler = "filler", Words;
    /// Words between two subjects: "and".
    And = "and", Words;
    /// Words for the user as the one who acts: "i".
    FirstPerson = "first_person", Words;
    /// Words of denial: "not".
    Negation = "negation", Words;
    /// Words that start a clause: "since".
    Since = "since", Words;
    /// Words for the text or answer at hand: "paragraph".
    Work = "work", Words;
    /// Starts of tasks to write a text, which is not fiction: "write a mail".
    WriteTask = "write_task", Start;
    /// Starts of tasks on a text: "translate".
    TextTask = "text_task", Start;
    /// Words that introduce a text: "here is the mail".
    Introduces = "introduces", Words;
    /// Words before an aside: "by the way".
    Aside = "aside", Start;
    /// Starts of role play, fiction and system prompts: "you are a".
    RolePlay = "role_play", Start;
    /// Sentences about what is not so: "what if".
    Hypothetical = "hypothetical", Start;
    /// Words of praise: "you are a genius".
    Praise = "praise", Words;
    /// Salutations of letters: "dear".
    Salutation = "salutation", LineStart;
    /// Salutations that also open a chat: "hi".
    Greeting = "greeting", LineStart;
    /// Ends of letters: "kind regards".
    SignOff = "sign_off", LineStart;
    /// Thanks, which end a letter if it has a salutation.
    Thanks = "thanks", LineStart;
    /// Frequent words, which tell the language.
    Common = "common", Words;
}

/// A keyword or word of a list, found in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhraseHit {
    /// The index of the language.
    pub(crate) language: usize,
    /// The list of the phrase.
    pub(crate) list: List,
    /// The index of the phrase in its list.
    pub(crate) phrase: usize,
    /// The position of its first byte.
    pub(crate) start: usize,
    /// The position after its last byte.
    pub(crate) end: usize,
}

/// How the phrases of a list are searched for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Parts of the other expressions.
    Part,
    /// At the start of a clause, after openers and polite words.
    Clause,
    /// At the start of a sentence, after openers and polite words.
    Start,
    /// At the start of a line.
    LineStart,
    /// At the start of a text.
    TextStart,
    /// A whole text.
    TextWhole,
    /// As words, anywhere. Found by the automaton alone.
    Words,
}
