//! Which forms of a word a query finds, in each language.
//!
//! A query is one word or phrase. The text is a sentence of the language around the other form.

use std::collections::HashSet;

use lar_text::terms::{QueryTerms, Terms};

/// A language with a sentence around a word, pairs of a query and a form in a text that must meet, and pairs
/// that must not. `a=b` is one pair.
struct Case {
    language: &'static str,
    sentence: &'static str,
    meet: &'static str,
    differ: &'static str,
}

fn finds(query: &str, text: &str) -> bool {
    let terms = Terms::of(text);
    let has: HashSet<&String> = terms.counts.iter().chain(&terms.other_forms).map(|(form, _)| form).collect();
    let words = QueryTerms::of(query).words;
    !words.is_empty() && words.iter().all(|word| word.forms.iter().any(|form| has.contains(form)))
}

#[test]
fn forms_of_a_word_meet_and_other_words_do_not() {
    let mut wrong = Vec::new();
    for case in CASES {
        let (mut met, mut differed) = (0, 0);
        for (pairs, expected) in [(case.meet, true), (case.differ, false)] {
            for pair in pairs.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
                let (query, form) = pair.split_once('=').unwrap();
                let text = case.sentence.replace("{}", form);
                *(if expected { &mut met } else { &mut differed }) += 1;
                if finds(query, &text) != expected {
                    wrong.push(format!("{}: {query} = {form}, expected {expected}", case.language));
                }
            }
        }
        assert!(met >= 8 && differed >= 4, "{}: {met} and {differed} pairs", case.language);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_name_is_found_in_every_language() {
    for case in CASES {
        for name in ["Falcon", "Mochi", "Postgres", "5433", "🎻"] {
            let text = case.sentence.replace("{}", &format!(" {name} "));
            assert!(finds(name, &text) && finds(&name.to_lowercase(), &text), "{}: {name}", case.language);
        }
    }
}

const CASES: &[Case] = &[
    Case {
        language: "English",
        sentence: "There was a {} when I was at my friend's house.",
        meet: "break=broken; break=broke; broken=breaking; children=child; knife=knives; running=ran; running=runs; moved=moving;
            cafe=café; naïve=naive; email=e-mail; e-mail=email; Straße=STRASSE; May 3=3rd May; O'Neil=ONeil;
            yaml=config.yaml; allergies=allergy; ﬁnal=final; US team=US team; ＦＵＬＬ=full; went=goes",
        differ: "care=car; plane=plan; rose=rise; 35=3.5; 🎻=🎸; note=not; version2=version3",
    },
    Case {
        language: "German",
        sentence: "Das ist {} und ich habe es nicht gewusst.",
        meet: "Haus=Häuser; haeuser=Häuser; Hauser=Häuser; Straße=Strassen; STRASSE=Straße; Katze=Katzen; wohnen=wohnte; wohnt=wohne;
            Müller=Mueller; Muller=Müller; Allergie=Allergien; Zürich=ZÜRICH; schlafen=schläfst; fünf=FÜNF",
        differ: "Maus=Haus; Gift=Gabe; Tag=Teig; Lehrer=leer; Kuchen=Kuh",
    },
    Case {
        language: "French",
        sentence: "C'est {} que je ne connais pas dans la ville.",
        meet: "préférer=préfère; prefere=préféré; école=l'école; ecole=écoles; cheval=chevaux; œuf=oeufs; aimée=aimer;
            aimee=aimée; garçon=garcons; travailler=travaillait; nationale=nationaux; hôtel=HOTEL",
        differ: "chat=château; pain=peine; livre=lièvre; rouge=route",
    },
    Case {
        language: "Spanish",
        sentence: "Es {} que no se lo que tengo para los demás.",
        meet: "canción=canciones; cancion=canción; año=años; ano=año; perro=perros; trabajar=trabajaba; corazón=CORAZÓN;
            niña=niñas; ciudad=ciudades; médico=medicos; pingüino=pinguinos",
        differ: "año=ano; caña=cana; casa=caza; perro=pero; peña=pena",
    },
    Case {
        language: "Italian",
        sentence: "Questo è {} che non ho ancora visto della città.",
        meet: "gatto=gatti; amica=l'amica; città=citta; lavorare=lavorava; università=UNIVERSITÀ; ragazza=ragazze;
            caffè=caffe; mangiare=mangiato; perché no=perche no; isola=dell'isola",
        differ: "casa=cosa; cane=carne; pena=penna; sole=suolo",
    },
    Case {
        language: "Portuguese",
        sentence: "Isso é {} que eu não conheço e você também não.",
        meet: "coração=corações; coracao=coração; gato=gatos; trabalhar=trabalhava; avó=avo; cidade=cidades; lição=lições;
            pão=PÃO; médico=medica; Japão=japao",
        differ: "pão=pau; mão=mau; caro=carro; casa=caça",
    },
    Case {
        language: "Dutch",
        sentence: "Dat is {} en ik heb het niet gezien.",
        meet: "kat=katten; huis=huisje; werken=werkt; fiets=fietsen; boek=boeken; één=een vriend één; vriendelijk=vriendelijke;
            België=belgie; cafés=café; wonen=woont",
        differ: "muis=huis; boek=broek; kip=kop; zee=zes",
    },
    Case {
        language: "Swedish",
        sentence: "Det är {} och jag har inte sett det.",
        meet: "katt=katterna; flicka=flickorna; Malmö=MALMÖ; malmo=Malmö; arbeta=arbetade; stad=staden; öl=ÖL;
            sjukhus=sjukhuset; gata=gatan; namn=namnet",
        differ: "får=far; rött=rott; hår=har du; kött=kott; tåg=tag",
    },
    Case {
        language: "Danish",
        sentence: "Det er {} og jeg har ikke set det, men du har nu.",
        meet: "kat=katten; kobenhavn=København; Koebenhavn=København; Aarhus=Århus; Århus=Aarhus; arbejde=arbejder; by=byen;
            pige=pigerne; smørrebrød=smoerrebroed; hospital=hospitalet",
        differ: "få=fa; køl=kol; måle=male; kød=kod",
    },
    Case {
        language: "Norwegian",
        sentence: "Det er {} og jeg har ikke sett det nå.",
        meet: "katt=katten; by=byene; jente=jentene; Tromsø=tromso; tromso=Tromsø; Ålesund=Aalesund; arbeid=arbeidet;
            sykehus=sykehuset; TROMSØ=tromsø; båt=båten",
        differ: "båt=bat; møte=mote; kål=kal; hånd=hand",
    },
    Case {
        language: "Finnish",
        sentence: "Se on {} mutta minä en ole nähnyt että se olisi.",
        meet: "talo=talossa; kissa=kissat; Helsinki=Helsingissä Helsinki; auto=autoni; työ=TYÖ; tyo=työ; koulu=koulussa;
            ystävä=ystävät; kaupunki=kaupungit kaupunki; jyvaskyla=Jyväskylä",
        differ: "tuli=tuuli; sää=saa; kissa=kassa; muta=muuta",
    },
    Case {
        language: "Hungarian",
        sentence: "Ez egy {} és nem volt meg az én házamban.",
        meet: "ház=házak; haz=ház; macska=macskák; iskola=iskolában; könyv=könyvek; város=városban; Győr=GYŐR; gyor=Győr;
            kutya=kutyát; orvos=orvosok",
        differ: "kör=kor; kár=kar; bőr=bor; tör=tőr",
    },
    Case {
        language: "Romanian",
        sentence: "Aceasta este {} și nu am mai văzut ce a fost.",
        meet: "fată=fete fata; oraș=oraşul; oras=orașul; București=bucuresti; carte=cărți carte; pisică=pisica;
            școală=scoala; copil=copilul; mâncare=mancarea; ȚARA=țara",
        differ: "casa=masa; pod=pad; lup=lapte; vin=vis",
    },
    Case {
        language: "Turkish",
        sentence: "Bu çok {} ve ben onu hiç görmedim.",
        meet: "İstanbul=istanbul; istanbul=İSTANBUL; ISTANBUL=İstanbul; kedi=kediler; ev=evler; KAPI=kapı; kapi=kapılar;
            Ankara=Ankara'da; ışık=IŞIK; isik=ışık; INSTAGRAM=instagram; kitap=kitaplar",
        differ: "ön=on dört; kör=kor; kuş=kus; döl=dol",
    },
    Case {
        language: "Polish",
        sentence: "To jest {} i nie wiem co się z tym stało.",
        meet: "Łódź=ŁÓDŹ; Lodz=Łódź; kraków=KRAKÓW; krakow=Kraków; kot=Kot; żona=zona żona; źrebak=ZREBAK źrebak; e-mail=email",
        differ: "sąd=sad; łoś=los; kąt=kat; być może=byc moze",
    },
    Case {
        language: "Czech",
        sentence: "To je {} a nevím, co se s tím stalo, protože jsem tam nebyl.",
        meet: "kočka=KOČKA; kocka=kočka; Plzeň=plzen plzeň; plzen=Plzeň; řeka=Řeka; reka=řeka; Brno=BRNO; škola=škola",
        differ: "byt=bít; kůra=kura; dráha=drahá Dana; míč=mič",
    },
    Case {
        language: "Russian",
        sentence: "Это было {} и я не знал что мне с этим делать.",
        meet: "кошка=кошки; ёлка=елка; елка=ёлки; работать=работал; Москва=МОСКВЕ; город=городов; книга=книгу; за́мок=замок;
            врач=врачи; мой йогурт=ЙОГУРТ",
        differ: "война=воина; дом=дым; кот=код; мука=муза",
    },
    Case {
        language: "Ukrainian",
        sentence: "Це було {} і я не знав що з цим робити.",
        meet: "київ=КИЇВ; кішка=Кішка; п'ять=п’ять; мова=МОВА; їжак=ЇЖАК; ґанок=ҐАНОК; Львів=львів; Анна=анна",
        differ: "кіт=кит; лис=ліс; сир=сірий; ґрати=грати",
    },
    Case {
        language: "Greek",
        sentence: "Αυτό είναι {} και δεν το ξέρω.",
        meet: "γάτα=γάτες; γατα=γάτα; σπίτι=σπίτια; Αθήνα=ΑΘΗΝΑ; αθηνα=Αθήνα; δρόμος=δρόμου; φίλος=φίλοι; ΟΔΟΣ=οδός;
            σχολείο=σχολεία",
        differ: "γάτα=γάλα; σπίτι=σπίθα; μήλο=μέλι; νερό=νέα",
    },
    Case {
        language: "Arabic",
        sentence: "هذا {} في المدينة ولا أعرف ما هو.",
        meet: "كتاب=الكتاب; مدرسة=المدرسة; مُعَلِّم=معلم; أحمد=احمد; قطة=القطة; بيت=البيت; عمـــل=عمل; إسلام=اسلام",
        differ: "كتاب=كلب; بيت=بنت; قلب=كلب; نار=نور",
    },
    Case {
        language: "Persian",
        sentence: "این {} است که من دارم و نمی‌دانم.",
        meet: "کتاب=كتاب; خانه=خانه; علی=علي; تهران=تهران; گربه=گربه; ۵۴۳۳=5433; مي‌خورم=می‌خورم; پدر=پدر",
        differ: "کتاب=کباب; گربه=کره; پدر=پسر; شیر=شهر",
    },
    Case {
        language: "Hebrew",
        sentence: "זה {} ואני לא יודע מה זה.",
        meet: "חתול=החתול; ירושלים=בירושלים; שלום=שָׁלוֹם; רופא=לרופא; כלב=והכלב כלב; מחשב=המחשב; עבודה=מעבודה; תל אביב=בתל אביב תל",
        differ: "חתול=חתונה; ספר=ספל; בית=בת; ילד=ילקוט",
    },
    Case {
        language: "Hindi",
        sentence: "यह {} है और मैं नहीं जानता।",
        meet: "बिल्ली=बिल्ली; ज़मीन=जमीन; किताब=किताब; दिल्ली=दिल्ली; ५=5; पानी=पानी; माँ=माँ; घर=घर",
        differ: "दिन=दान; कल=काल; पानी=पान; मोर=मार",
    },
    Case {
        language: "Tamil",
        sentence: "இது {} மற்றும் எனக்கு தெரியாது.",
        meet: "பூனை=பூனைகள்; வீடு=வீடு; புத்தகம்=புத்தகங்கள்; சென்னை=சென்னையில்; மரம்=மரம்; நாய்=நாய்கள்; பள்ளி=பள்ளிகள்; அம்மா=அம்மா",
        differ: "பூனை=பானை; மரம்=மணம்; வீடு=நாடு; காலை=மாலை",
    },
    Case {
        language: "Korean",
        sentence: "나는 {} 그리고 그것을 몰라요.",
        meet: "집=집에서; 고양이=고양이를; 학교=학교까지; 서울=서울은; 친구=친구와; 책=책을; 병원=병원에; 커피=커피도",
        differ: "집=짐을; 사과=사자; 학교=학원; 책=책상",
    },
    Case {
        language: "Vietnamese",
        sentence: "Đây là {} của tôi và tôi không biết nó ở đâu.",
        meet: "mèo=MÈO; meo=mèo; Hà Nội=hà nội; ha noi=Hà Nội; Đà Nẵng=ĐÀ NẴNG; da nang=Đà Nẵng; phở=Phở; pho=phở",
        differ: "mẹ=mè; bò=bơ; ma=mía; đường=đương",
    },
    Case {
        language: "Thai",
        sentence: "นี่คือ{}ที่ฉันไม่รู้",
        meet: "แมว=แมว; โรงพยาบาล=โรงพยาบาล; กุญแจ=กุญแจ; จักรยาน=จักรยาน; เชียงใหม่=เชียงใหม่; ๕=5; บริษัท=บริษัท; วันเกิด=วันเกิด",
        differ: "แมว=แมลง; ข้าว=ขาว; กุญแจ=กระเป๋า; หมา=หมู",
    },
    Case {
        language: "Japanese",
        sentence: "これは{}だと思います。",
        meet: "猫=猫; 食べる=食べました; 東京=東京都; 大学=東京大学; ｶﾒﾗ=カメラ; スマートフォン=スマートフォン; いちご=いちご; コーヒー=コーヒーメーカー; 日本語=日本語学校",
        differ: "猫=犬; カメラ=カメ; いちご=りんご; 青=赤",
    },
    Case {
        language: "Chinese",
        sentence: "这是{}，但是我不知道。",
        meet: "猫=我的猫叫咪咪; 大学=北京大学; 北京=我住在北京; 绿茶=喝绿茶; 机场=浦东机场; 小提琴=小提琴; ５月=5月; 人工智能=机器学习和人工智能",
        differ: "猫=狗; 绿茶=咖啡; 上海=北京; 医生=老师",
    },
];
