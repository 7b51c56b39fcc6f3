//! Tests of the comparison: certain replacements, look-alikes, and any text.

use proptest::prelude::*;

use super::*;

fn relation(known: &str, incoming: &str) -> Relation {
    Statement::of(known).compare(&Statement::of(incoming), None).0
}

#[test]
fn only_certain_replacements_replace() {
    let cases = [
        ("I like dark mode.", "I don’t like dark mode.", Relation::Replaces),
        ("The contract is signed.", "The contract is not signed.", Relation::Replaces),
        ("Our dog is called Balu.", "Our dog is called Rex, not Balu.", Relation::Replaces),
        (
            "The dentist is on 4 May at noon.",
            "The dentist is on 5 May at noon now, not on 4 May.",
            Relation::Replaces,
        ),
        ("The rent is 900 euros.", "The rent is 950 euros now.", Relation::Replaces),
        ("Ben has a car.", "Ben no longer has a car.", Relation::MayReplace),
        ("Our cat likes fish.", "Our cat doesn't like fish any more.", Relation::Replaces),
        ("My sister is married.", "My sister is divorced.", Relation::Replaces),
        ("My dentist is Mira.", "Correction: my dentist is Lena.", Relation::Replaces),
        ("The oven runs ten degrees too hot.", "The oven runs twenty degrees too hot.", Relation::MayReplace),
        (
            "The retry limit in the payment worker is 3.",
            "The retry limit in the payment worker is 5.",
            Relation::Replaces,
        ),
        ("The NAS has 8 TB of space.", "The NAS has 16 TB of space.", Relation::MayReplace),
        ("The backup server is at 10.0.0.12.", "The backup server is at 10.0.0.47.", Relation::MayReplace),
        (
            "Feature flag new_checkout is enabled in production.",
            "Feature flag new_checkout is disabled in production.",
            Relation::Replaces,
        ),
    ];
    for (known, incoming, expected) in cases {
        assert_eq!(relation(known, incoming), expected, "{known} | {incoming}");
    }
}

#[test]
fn what_looks_like_a_replacement_hides_nothing() {
    let cases = [
        ("Yoga is on Monday at 18:00.", "Yoga is on Thursday at 7:00."),
        ("The dose is 5 mg in the morning.", "The dose is 10 mg in the evening."),
        ("I take 5 mg of lisinopril.", "I take 10 mg of lisinopril."),
        ("The bus comes at 8:10.", "The bus comes at 8:40 too."),
        ("The bus comes at 8:10.", "The bus comes at 8:40."),
        ("The login page uses OAuth.", "The login page tests were moved to tests/auth."),
        ("The API accepts JSON.", "The API doesn't accept JSON larger than 2 MB."),
        ("We meet in room 3.", "We meet in room 4, not in room 3, on Fridays."),
        ("We use Postgres.", "Tom would be happier if we didn't use Postgres."),
        ("Anna lives in Berlin.", "Anna's brother moved to Berlin."),
        ("Ben works at Siemens.", "Ben's wife quit her job at Siemens."),
        ("I work on Fridays.", "I don't work on Fridays in August."),
        ("The contract is signed.", "I dreamt the contract was not signed."),
        ("My dentist is Dr. Okafor.", "My dentist is not Dr. Okafor in this story."),
        ("`UserRepo.find()` is case sensitive.", "`OrderRepo.find()` is not case sensitive."),
        (
            "Chris from accounting is on parental leave until March.",
            "Chris from support is back from parental leave.",
        ),
        ("The board call was 10 Nov.", "The next board call is 12 Jan."),
        ("Elena is vegan.", "\"Elena isn't vegan\", says her ex, but he says a lot of things."),
        ("Allergies: penicillin, cat hair", "Allergies: penicillin"),
        ("I visited Kyoto in 2019.", "I visited Kyoto in 2024."),
        ("My dentist is Dr. Okafor.", "My dentist is Dr. Weber now."),
        ("Service A calls service B.", "Service B calls service A."),
        ("I like coffee.", "I like coffee cake."),
        ("Room 12 has 30 seats.", "Room 14 has 30 seats."),
        ("Balu was at the vet on 3 May.", "Balu died at the vet on 3 May."),
        ("Tom bought the tickets.", "Tom sold the tickets."),
        ("Meine Schwester wohnt in Köln.", "Mein Bruder wohnt in Bonn."),
        ("His savings account has 4200 euros.", "Her savings account has 910 euros."),
        ("The scooter works with wifi.", "The scooter doesn't work without wifi."),
        (
            "Papa takes 500 milligrams of iron before lunch.",
            "Papa takes 1000 milligrams of iron after lunch.",
        ),
        ("The drive to Bern takes 2 hours.", "The drive from Bern takes 3 hours."),
        ("Ben smokes.", "Ben should not smoke."),
        ("The budget is 400 euros.", "The budget should be 500 euros."),
        ("Mr Weber has 2 cars.", "Mrs Weber has 3 cars."),
        ("My sister lives in Graz.", "Her sister lives in Graz."),
        ("Daniel plays the cello.", "Daniela plays the cello."),
        ("Martin eats meat.", "Martina doesn't eat meat."),
        ("Do pracy jeżdżę autobusem 102.", "Do pracy jeżdżę autobusem 114."),
        ("Prendo il treno per Milano.", "Prendo il treno a Milano."),
        ("Der er plads over skabet.", "Der er plads under skabet."),
        ("Onze dochter is 7.", "Onze dochter is 4."),
        ("nginx listens on port 80.", "nginx listens on port 443."),
        ("We take bus 4 to the harbour.", "We take bus 7 to the harbour."),
        ("I have physio on the 12th.", "I have physio on the 19th."),
        ("The DNS server is 10.0.0.2.", "The DNS server is 10.0.0.3."),
        ("I was a smoker.", "I am not a smoker."),
        ("Anna is the boss of Tom.", "Tom is the boss of Anna."),
        ("Caching is done with Memcached.", "Caching is done with Redis instead of Memcached."),
        ("Some trains stop at Dorf.", "Some trains don't stop at Dorf."),
        ("The bus stops at our corner.", "The bus did not stop at our corner."),
        ("Mia is allergic to peanuts.", "Mia's brother is allergic to hazelnuts, not to peanuts."),
        ("I drink tea.", "I drink tea at home and coffee at work, not tea at work."),
        ("We have a public API.", "We have a private API."),
        ("I can read Russian.", "I can actually read Greek."),
        ("My blood sugar is 5.6.", "My blood sugar is 7.1."),
        ("My blood pressure is 120.", "My blood pressure is 130."),
        ("The fever is 38 degrees.", "The fever is 39 degrees."),
        ("Our cat weighs 4 kilos.", "Our cat weighs 5 kilos."),
        ("The bag is 4 kg.", "The bag is 5 kg."),
        ("The alarm is on.", "The alarm is off since the burglary."),
        ("The shop is open.", "The shop is currently closed."),
        ("The temperature limit is 5.", "The temperature limit is -5."),
        ("Allergies: penicillin", "Allergies: penicillin, cat hair?"),
        ("The port is 80?", "The port is 80."),
    ];
    for (known, incoming) in cases {
        let relation = relation(known, incoming);
        let keeps = matches!(relation, Relation::MayReplace | Relation::Contradicts | Relation::Other);
        assert!(keeps, "{relation:?}: {known} | {incoming}");
    }
}

#[test]
fn texts_that_may_replace_another_say_why() {
    let cases = [
        ("My dentist is Dr. Okafor.", "My dentist is Dr. Weber now.", DecisionRule::OtherValue),
        ("The bus comes at 8:10.", "The bus comes at 8:40.", DecisionRule::OtherValue),
        ("on-call this week: Samir", "on-call this week: Ivana", DecisionRule::SameKey),
    ];
    for (known, incoming, rule) in cases {
        let found = Statement::of(known).compare(&Statement::of(incoming), None);
        assert_eq!(found, (Relation::MayReplace, rule), "{known} | {incoming}");
    }
}

#[test]
fn repeated_texts_say_nothing_new() {
    let cases = [
        ("The server is up.", "the server IS up!", Relation::Same),
        ("Rehearsal starts at 20:00.", "Rehearsal starts at 8 pm.", Relation::Same),
        ("I am vegetarian.", "I'm a vegetarian.", Relation::Same),
        ("The weekly standup is at 10:00.", "Weekly standup is at 10:00.", Relation::Same),
        ("Our dog is called Balu.", "Our dog is called Balu and is a Bernese mountain dog.", Relation::More),
        ("Our dog is called Balu and is a Bernese mountain dog.", "Our dog is called Balu.", Relation::Same),
        ("The office has 12 rooms.", "The office has twelve rooms.", Relation::Same),
        ("हमारा कुत्ता बालू है।", "हमारा कुत्ता बालू है", Relation::Same),
        ("Das Büro ist in Porto.", "das Büro ist in Porto!", Relation::Same),
    ];
    for (known, incoming, expected) in cases {
        assert_eq!(relation(known, incoming), expected, "{known} | {incoming}");
    }
}

#[test]
fn limits_and_signs_are_never_the_same_and_overwrite_nothing() {
    let pairs = [
        ("The alarm is off while we are away.", "The alarm is off."),
        ("The alarm is off on Mondays.", "The alarm is off."),
        ("The alarm is off if nobody is home.", "The alarm is off."),
        ("The alarm is off because of the cat.", "The alarm is off."),
        ("The alarm is off in the kitchen.", "The alarm is off."),
        ("The alarm is off, except at night.", "The alarm is off."),
        ("The alarm is off for two weeks.", "The alarm is off."),
        ("The alarm is off since the burglary.", "The alarm is off."),
        ("The alarm is off these days.", "The alarm is off."),
        ("The alarm is off now.", "The alarm is off."),
        ("The alarm is only off in May.", "The alarm is off."),
        ("The alarm is off and is only loud at night.", "The alarm is off."),
        ("The alarm is off and is on at night.", "The alarm is off."),
        ("I drink two cups of tea.", "I drink tea."),
        ("Anna lives with her sister in Porto.", "Anna lives in Porto."),
        ("Ben has few friends.", "Ben has a few friends."),
        ("Our team has little time.", "Our team has a little time."),
        ("My days are few.", "My days are a few."),
        ("Ben is the only child of the family.", "Ben is only a child of the family."),
        ("She is the boss.", "She is a boss."),
        ("Most people like the most expensive cheese.", "The most people like most expensive cheese."),
        ("I write the server in C.", "I write the server in C++."),
        ("My favourite is the 🎻", "My favourite is the 🎸"),
        ("The flag is debug.", "The flag is !debug."),
        ("The rule is a && b", "The rule is a || b"),
        ("retries = 3", "retries != 3"),
        ("The limit is <5", "The limit is >5"),
        ("यह मेरे पिता की दुकान है", "यह मेरे पति की दुकान है"),
        ("Add ½ cup of the oil.", "Add 1 cup of the oil."),
        ("Sala ten jest mój", "Sala 10 jest mój"),
        ("Der Alarm ist aus, wenn wir weg sind.", "Der Alarm ist aus."),
        ("L'alarme est coupée la nuit.", "L'alarme est coupée."),
        ("我不在家时闹钟关闭。", "闹钟关闭。"),
    ];
    for (one, other) in pairs {
        for (known, incoming) in [(one, other), (other, one)] {
            let found = relation(known, incoming);
            let keeps = matches!(found, Relation::MayReplace | Relation::Contradicts | Relation::Other);
            assert!(keeps, "{found:?}: {known} | {incoming}");
        }
    }
    // A link, not a repetition.
    for (known, incoming) in [
        ("The alarm is off while we are away.", "The alarm is off."),
        ("Ben has few friends.", "Ben has a few friends."),
    ] {
        assert_eq!(relation(known, incoming), Relation::MayReplace, "{known} | {incoming}");
    }
}

proptest! {
    #[test]
    fn any_text_can_be_compared(known in "\\PC{0,80}", incoming in "\\PC{0,80}") {
        relation(&known, &incoming);
    }

    #[test]
    fn a_text_is_the_same_as_itself(words in proptest::collection::vec("[a-z]{2,9}", 1..9)) {
        let text = words.join(" ");
        let incoming = ParsedText::of(&text);
        prop_assume!(!incoming.reports_change && !incoming.is_correction && Stance::of(&text) == Stance::Stated);
        prop_assume!(!incoming.words.is_empty());
        prop_assert_eq!(relation(&text, &text), Relation::Same);
    }
}
