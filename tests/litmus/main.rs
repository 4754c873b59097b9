//! The programs that `ci/herd` runs under Arm's model of memory, and the instructions that the
//! compiler makes of the protocol for aarch64.
//!
//! For each ordering there is a second program that lacks only this one. The comparison with the
//! compiler needs its output, which `ci/herd` makes.

mod assembly;
mod program;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use assembly::{Address, Function, Operation};
use program::{Program, expected, folder};
use step::{Step, Word, merged, show};

/// The weaker instruction that takes the place of one with an ordering.
fn weakened(cell: &str) -> String {
    match cell.strip_prefix("STLR") {
        Some(operands) => format!("STR{operands}"),
        None => match cell {
            "mfence" => "nop".into(),
            cell if cell.starts_with("DMB") => "NOP".into(),
            cell => panic!("{cell} orders nothing"),
        },
    }
}

#[test]
fn every_program_has_its_verdict() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|it| it == "litmus"));
    let files: BTreeSet<_> = files.map(|it| it.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    for expected in expected() {
        let processors = if expected.model.starts_with("x86tso") { "X86_64" } else { "AArch64" };
        assert_eq!(Program::read(&expected.program).processors, processors, "{expected:?}");
    }
    let listed: Vec<_> = expected().into_iter().map(|it| it.program).collect();
    assert_eq!(files.len(), listed.len(), "a program is listed twice, or not at all");
    assert_eq!(files, listed.into_iter().collect());
}

/// `publication-no-w2` is `publication` without the ordering of w2, and is listed behind it.
#[test]
fn a_program_without_an_ordering_differs_in_nothing_else() {
    let mut whole: Option<Program> = None;
    let mut missing = 0;
    for expected in expected() {
        let program = Program::read(&expected.program);
        if expected.never {
            whole = Some(program);
            continue;
        }
        let whole = whole.as_ref().expect("a program with all orderings comes first");
        let (family, step) = program.name.rsplit_once("-no-").expect("the name says what is missing");
        assert!(whole.name.starts_with(family), "{} comes behind {}", program.name, whole.name);
        assert_eq!(program.frame, whole.frame, "{}", program.name);
        let cells = |program: &Program| program.threads.iter().flatten().cloned().collect::<Vec<_>>();
        let mut differing = 0;
        for (weak, strong) in
            cells(&program).iter().zip(&cells(whole)).filter(|(weak, strong)| weak != strong)
        {
            assert_eq!(*weak, weakened(strong), "{} lacks more than {step}", program.name);
            differing += 1;
        }
        assert!(differing > 0, "{} lacks nothing", program.name);
        missing += 1;
    }
    assert!(missing > 10, "{missing} programs without an ordering");
}

/// The programs of one protocol agree with one another about its steps.
#[test]
fn the_programs_are_of_one_protocol() {
    let [publication, pairs] = ["publication", "pairs"].map(Program::read);
    for thread in 0..2 {
        assert_eq!(merged(pairs.steps(thread)), merged(publication.steps(thread)));
    }
    let writer = [&answer_of_writer()[..], &waiting_of_writer()].concat();
    assert_eq!(show(&writer), "LDR counter · STLR published · STLR published · DMB ISH · LDR counter");
    // The writer and its interrupt, wherever it comes.
    for place in ["before-w5", "before-p3", "after-p3"] {
        let program = Program::read(&format!("membarrier-{place}"));
        let own: Vec<_> = program.threads[0].iter().filter(|cell| !is_of_interrupt(cell)).collect();
        assert_eq!(
            own,
            ["MOV W0,#1", "STLR W0,[X1]", "LDR W5,[X2]", "", "", ""][..own.len()].iter().collect::<Vec<_>>()
        );
    }
}

/// The registers X3 and X4 belong to the interrupt.
fn is_of_interrupt(cell: &str) -> bool {
    cell.starts_with("DMB") || cell.contains("X3") || cell.contains("X4")
}

/// w1 to w5, once: the program publishes twice.
fn one_publication() -> Vec<Step> {
    let twice = merged(Program::read("publication").steps(0));
    let (first, second) = twice.split_at(twice.len() / 2);
    assert_eq!(first, second, "the two publications differ");
    first.to_vec()
}

fn answer_of_writer() -> Vec<Step> {
    Program::read("answer").steps(0)
}

fn waiting_of_writer() -> Vec<Step> {
    Program::read("waiting").steps(0)
}

/// s1 to s4: `answer` has the first steps, `waiting` the last.
fn wait() -> Vec<Step> {
    let [first, last] = ["answer", "waiting"].map(|name| Program::read(name).steps(1));
    assert_eq!(first.last(), last.first(), "both have the announcement");
    [&first[..], &last[1..]].concat()
}

/// Where the words are, by what happens to them.
#[derive(Default)]
struct Words {
    words: BTreeMap<Address, Word>,
}

impl Words {
    fn name(&mut self, operation: &Operation, word: Word) {
        let address = operation.address.clone().expect("an access");
        let known = self.words.insert(address.clone(), word);
        assert!(known.is_none_or(|known| known == word), "{address:?} is {known:?} and {word:?}");
    }

    /// The steps of a way. A word without a name is data.
    fn steps(&self, way: &[Operation]) -> Vec<Step> {
        let step = |Operation { name, address }: &Operation| match address {
            None => Step::barrier(name.trim_start_matches("DMB ")),
            Some(address) => Step::access(name, self.words.get(address).copied().unwrap_or(Word::Data)),
        };
        merged(way.iter().map(step))
    }

    /// Offsets of the data that lies in the slot, from its stamp.
    fn slot(&self, way: &[Operation]) -> BTreeSet<i64> {
        let stamp = self.words.iter().find(|(_, word)| **word == Word::Stamp).expect("a stamp").0;
        let accesses = way.iter().filter_map(|operation| operation.address.as_ref());
        accesses
            .filter(|address| address.base == stamp.base && *address != stamp)
            .map(|address| address.offset - stamp.offset)
            .collect()
    }
}

/// The longest way through a function, and the shorter ones.
fn ways(assembly: &str, function: &str, pointers: usize) -> (Vec<Operation>, Vec<Vec<Operation>>) {
    let mut ways = Function::find(assembly, &format!("Steps{}{function}", function.len())).ways(pointers);
    let longest = (0..ways.len()).max_by_key(|way| ways[*way].len()).expect("a way to a return");
    (ways.swap_remove(longest), ways)
}

fn accesses(way: &[Operation]) -> Vec<&Operation> {
    way.iter().filter(|operation| operation.address.is_some()).collect()
}

fn compare(what: &str, found: &[Step], program: &[Step]) {
    println!("{what:<24} {}", show(found));
    assert_eq!(
        show(found),
        show(program),
        "{what}: the compiler's instructions (left) and the programs' (right)"
    );
}

#[test]
#[ignore = "needs the library's instructions for aarch64: ci/herd"]
fn the_compiler_makes_the_instructions_of_the_programs() {
    let path = std::env::var_os("TEARLESS_ASSEMBLY").expect("the path of the compiler's output");
    let assembly = std::fs::read_to_string(path).unwrap();
    println!();
    writer(&assembly);
    reader(&assembly);
    waiter(&assembly);
    cut(&assembly);
    pins(&assembly);
}

/// Names the words of a publication: the writer begins with the stamp and ends with the number.
fn of_publication(way: &[Operation]) -> Words {
    let mut words = Words::default();
    let accesses = accesses(way);
    words.name(accesses[0], Word::Stamp);
    words.name(accesses[accesses.len() - 1], Word::Published);
    words
}

fn writer(assembly: &str) {
    let (way, shorter) = ways(assembly, "publish", 2);
    compare("publish", &of_publication(&way).steps(&way), &one_publication());
    assert_eq!(shorter.iter().map(Vec::len).max(), Some(0), "a writer without numbers stores nothing");

    // The first reader that pins is noticed as a waiter is: x0 is p2 and p3.
    for (function, barrier) in [
        ("publish_with_fence", true),
        ("publish_without_fence", false),
        ("look_with_fence", true),
        ("look_without_fence", false),
    ] {
        let (way, shorter) = ways(assembly, function, 2);
        let of_all = accesses(&way);
        let mut words = Words::default();
        // p1 is before w1, p2 and p3 are behind w5.
        let p1 = if function.starts_with("publish") { &answer_of_writer()[..1] } else { &[] };
        words.name(of_all[of_all.len() - 1], Word::Counter);
        words.name(of_all[p1.len()], Word::Stamp);
        words.name(of_all[of_all.len() - 2], Word::Published);
        let mut p2_p3 = waiting_of_writer()[1..].to_vec();
        if !barrier {
            p2_p3.retain(|step| *step != Step::barrier("ISH"));
        }
        compare(function, &words.steps(&way), &[p1, &one_publication()[..], &p2_p3].concat());
        // Whichever way: all of them, none, or p1 alone if the ring does not admit the payload.
        for way in shorter {
            let steps = words.steps(&way);
            let all = p1.len() + one_publication().len() + p2_p3.len();
            assert!(steps.is_empty() || steps == p1 || steps.len() == all, "{}", show(&steps));
        }
    }
}

fn reader(assembly: &str) {
    let (way, shorter) = ways(assembly, "snapshot", 2);
    let program = Program::read("publication").steps(1);
    let program = merged(program);
    let of_all = accesses(&way);
    let mut words = Words::default();
    words.name(of_all[0], Word::Published);
    words.name(of_all[of_all.len() - 1], Word::Stamp);
    compare("snapshot", &words.steps(&way), &program);
    // Whichever way: the whole program, or nothing after r1 but the loads of the slot's header.
    for way in shorter {
        let steps = words.steps(&way);
        assert!(
            steps == program || (steps == program[..steps.len()] && steps.len() <= 3),
            "{}",
            show(&steps)
        );
    }

    // Reader and writer mean the same words.
    let (written, _) = ways(assembly, "publish", 2);
    let of_writer = of_publication(&written);
    assert_eq!(words.slot(&way), of_writer.slot(&written), "offsets from the stamp");
    let published = |words: &Words| {
        words.words.iter().find(|(_, word)| **word == Word::Published).map(|(address, _)| address.offset)
    };
    assert_eq!(published(&words), published(&of_writer), "offset in the control page");
}

fn waiter(assembly: &str) {
    let (way, shorter) = ways(assembly, "wait", 1);
    let of_all = accesses(&way);
    let mut words = Words::default();
    words.name(of_all[0], Word::Published);
    words.name(of_all[1], Word::Counter);
    words.name(of_all[2], Word::Published);
    compare("wait", &words.steps(&way), &wait());
    for way in shorter {
        compare("wait", &words.steps(&way), &wait());
    }
}

fn cut(assembly: &str) {
    let (way, _) = ways(assembly, "cut", 2);
    // The program has two words, one of each channel, and looks at the first again.
    let found = way.iter().map(|operation| match &operation.address {
        None => operation.name.clone(),
        Some(address) => {
            format!("{} {}", operation.name, if address.base.contains("x1") { "b" } else { "a" })
        }
    });
    let cells = &Program::read("cut").threads[2];
    let program = cells
        .iter()
        .map(|cell| cell.replace(" W5,[X1]", " a").replace(" W7,[X1]", " a").replace(" W6,[X2]", " b"));
    let program: Vec<_> = program.chain(["LDR b".to_owned()]).collect();
    let found: Vec<_> = found.collect();
    println!("{:<24} {}", "cut", found.join(" · "));
    assert_eq!(found, program, "cut: the compiler's instructions (left) and the program's (right)");
}

fn pins(assembly: &str) {
    let [pin, again, unpin] = ["pin", "pin-again", "unpin"].map(Program::read);
    let whole = merged(pin.steps(0));
    // x1 and x2, x3, and w1 to w4.
    let (x1_x2, x3, w1_w4) = (&whole[..2], &whole[2..4], &whole[4..]);
    let restored = &again.steps(0)[2..3];
    let (way, shorter) = ways(assembly, "reuse", 2);
    let mut words = Words::default();
    words.name(accesses(&way)[0], Word::Stamp);
    for way in shorter.iter().chain([&way]) {
        let looks = way.iter().skip_while(|it| it.name != "DMB ISH").skip(1);
        if way.iter().any(|it| it.name == "DMB ISHLD") {
            looks.take_while(|it| it.name != "DMB ISHLD").for_each(|look| words.name(look, Word::Pin));
        }
    }
    compare("reuse", &words.steps(&way), &whole);
    let ways_of_programs = [
        whole.clone(),
        [x1_x2, x3, restored].concat(),
        // The slot holds nothing.
        [&x1_x2[1..], w1_w4].concat(),
        // There are no pins.
        [x1_x2, &x3[1..], w1_w4].concat(),
        // There is no next number.
        Vec::new(),
    ];
    let found: Vec<_> = shorter.iter().map(|way| words.steps(way)).collect();
    for steps in &found {
        assert!(ways_of_programs.contains(steps), "{}", show(steps));
    }
    assert!(found.contains(&ways_of_programs[1]), "a stamp is restored");

    let (way, shorter) = ways(assembly, "view", 2);
    // The place of v3 before the end.
    let steps = |way: &[Operation], v3: usize| {
        let of_all = accesses(way);
        let mut words = Words::default();
        let names = [Word::Counter, Word::Published, Word::Pin];
        of_all.iter().zip(names).for_each(|(operation, word)| words.name(operation, word));
        if of_all.len() > names.len() {
            words.name(of_all[of_all.len() - v3], Word::Stamp);
        }
        words.steps(way)
    };
    let [u1_u2_r1, latest] = ["waiting", "publication"].map(|name| Program::read(name).steps(1));
    let v4 = unpin.steps(1).pop().expect("the last step");
    let program = merged([&u1_u2_r1[..], &latest[1..2], &pin.steps(1), std::slice::from_ref(&v4)].concat());
    // Two words of payload and v4 are behind v3.
    compare("view", &steps(&way, 4), &program);
    // Whichever way: nothing is published, or v3 finds another stamp or an impossible length.
    let in_vain = [&program[..program.len() - 2], &[v4]].concat();
    for way in shorter {
        let is_known = [4, 2].iter().any(|v3| {
            let steps = steps(&way, *v3);
            steps == program || steps == in_vain || steps == program[..4]
        });
        assert!(is_known, "{}", show(&steps(&way, 2)));
    }
}

/// As compilers write it: a publication, and a loop in which the payload is loaded.
const SAMPLE: &str = "
_ZN8tearless7fuzzing5Steps7publish17h0123456789abcdefE:
.Lfunc_begin0:
\tstp\tx29, x30, [sp, #-16]!
\tldr\tx8, [x0, #160]
\tcbz\tx8, .LBB0_2
\tldr\tx9, [x0]
\tmul\tx10, x8, x8
\tadd\tx11, x10, #8
\tstr\tx8, [x9, x11, lsl #3]
\tdmb\tish
\tadd\tx12, x9, x10, lsl #3
\t//APP
\tldp\tx13, x14, [x1]
\tstp\tx13, x14, [x12, #72]
\t//NO_APP
\tldr\tx15, [x0, #8]
\tstlr\tx8, [x15]
.LBB0_2:
\tldp\tx29, x30, [sp], #16
\tret
.Lfunc_end0:
_ZN8tearless7fuzzing5Steps8snapshot17h0123456789abcdefE:
\tldr\tx8, [x0]
.LBB1_1:
\tldr\tw9, [x8], #8
\tstr\tw9, [x1], #8
\tcbnz\tw9, .LBB1_1
\tdmb\tishld
\tret
\tbl\tcore_panicking_panic
.Lfunc_end1:
";

#[test]
fn accesses_to_shared_memory_are_recognized_by_their_addresses() {
    let (way, shorter) = ways(SAMPLE, "publish", 2);
    assert_eq!(shorter, [vec![]]);
    let mut words = Words::default();
    words.name(&way[0], Word::Stamp);
    words.name(&way[4], Word::Published);
    assert_eq!(show(&words.steps(&way)), "STR stamp · DMB ISH · STR data · STLR published");
    assert_eq!(words.slot(&way), [8, 16].into());

    let (way, shorter) = ways(SAMPLE, "snapshot", 2);
    let offsets = |way: &[Operation]| way.iter().map(|it| it.address.as_ref().map(|it| it.offset)).collect();
    let names: Vec<_> = way.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["LDR not of one word", "LDR not of one word", "DMB ISHLD"]);
    let offsets: Vec<Option<i64>> = offsets(&way);
    assert_eq!((offsets, shorter.len()), (vec![Some(0), Some(8), None], 1));
}
