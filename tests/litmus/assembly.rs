//! The memory operations of a function in a compiler's output for aarch64, on each way through it.
//!
//! A function gets pointers to private memory: its arguments and the stack. What it loads from
//! there and then uses as an address is shared memory. Values are terms, so that two accesses to
//! one word are recognized by their addresses, whichever registers hold them.

use std::collections::BTreeMap;

/// How often a way may pass an instruction: once more than a loop's first round.
const ROUNDS: usize = 2;

/// An access to shared memory or a barrier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The instruction in upper case; with a note if it does not access a whole word.
    pub name: String,
    /// `None` for a barrier.
    pub address: Option<Address>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A term.
    pub base: String,
    pub offset: i64,
}

/// A function's instructions.
pub struct Function {
    name: String,
    instructions: Vec<Instruction>,
    labels: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Instruction {
    name: String,
    operands: Vec<String>,
}

/// A number, or an address: a term and a constant.
#[derive(Clone, Debug)]
struct Value {
    term: String,
    constant: i64,
    /// Derived from an argument or the stack pointer, without a load in between.
    private: bool,
}

/// What is known on one way to an instruction.
#[derive(Clone, Default)]
struct State {
    registers: BTreeMap<String, Value>,
    /// What was stored in private memory.
    stored: BTreeMap<(String, i64), Value>,
    visits: BTreeMap<usize, usize>,
    operations: Vec<Operation>,
    /// A called function whose accesses are unknown. If the way ends in a return, that is an error.
    called: Option<String>,
}

impl Function {
    /// The function whose mangled name contains `name`.
    pub fn find(assembly: &str, name: &str) -> Function {
        let is_label = |line: &&str| !line.starts_with(['\t', ' ', '.']) && line.contains(name);
        let begin = assembly.lines().position(|line| is_label(&line) && line.trim_end().ends_with(':'));
        let begin = begin.unwrap_or_else(|| panic!("the assembly has no function {name}"));
        let mut function = Function { name: name.into(), instructions: Vec::new(), labels: BTreeMap::new() };
        for line in assembly.lines().skip(begin + 1) {
            let line = line.split("//").next().unwrap_or("").trim();
            if line.starts_with(".Lfunc_end") {
                break;
            } else if let Some(label) = line.strip_suffix(':') {
                function.labels.insert(label.into(), function.instructions.len());
            } else if !line.is_empty() && !line.starts_with('.') {
                function.instructions.push(instruction(line));
            }
        }
        function
    }

    /// The operations on every way from the beginning to a return, without repetitions. The first
    /// `pointers` arguments point to private memory, the others are numbers.
    pub fn ways(&self, pointers: usize) -> Vec<Vec<Operation>> {
        let mut ways = Vec::new();
        let mut state = State::default();
        for register in (0..pointers).map(|number| format!("x{number}")) {
            state.set(&register, Value::private(&register));
        }
        state.set("sp", Value::private("sp"));
        self.walk(0, state, &mut ways);
        ways.sort();
        ways.dedup();
        ways
    }

    fn walk(&self, mut at: usize, mut state: State, ways: &mut Vec<Vec<Operation>>) {
        loop {
            // Behind the last instruction: after a call that does not return.
            let Some(instruction) = self.instructions.get(at) else { return };
            let visits = state.visits.entry(at).or_default();
            *visits += 1;
            if *visits > ROUNDS {
                return;
            }
            let Instruction { name, operands } = instruction;
            match name.as_str() {
                "ret" => {
                    if let Some(called) = state.called {
                        panic!("{} calls {called}, whose accesses are unknown", self.name);
                    }
                    return ways.push(state.operations);
                }
                "brk" | "udf" => return,
                "b" => at = self.target(&operands[0]),
                "bl" if has_no_return(&operands[0]) => return,
                "bl" => {
                    state.call(&operands[0]);
                    at += 1;
                }
                branch if is_conditional(branch) => {
                    let target = self.target(operands.last().expect("a target"));
                    self.walk(target, state.clone(), ways);
                    at += 1;
                }
                _ => {
                    state.execute(instruction, at);
                    at += 1;
                }
            }
        }
    }

    fn target(&self, label: &str) -> usize {
        let known = self.labels.get(label);
        *known.unwrap_or_else(|| panic!("{} ends in another function: {label}", self.name))
    }
}

/// Splits at the commas outside of brackets.
fn instruction(line: &str) -> Instruction {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut operands = vec![String::new()];
    let mut inside = false;
    for character in rest.trim().chars() {
        inside = (inside || character == '[') && character != ']';
        match character {
            ',' if !inside => operands.push(String::new()),
            _ => operands.last_mut().unwrap().push(character),
        }
    }
    let operands = operands.iter().map(|operand| operand.trim().to_owned()).collect();
    Instruction { name: name.to_lowercase(), operands }
}

/// Panics, by the names of the functions that cause them.
fn has_no_return(function: &str) -> bool {
    function.contains("panic") || function.contains("_fail")
}

fn is_conditional(name: &str) -> bool {
    name.starts_with("b.") || ["cbz", "cbnz", "tbz", "tbnz"].contains(&name)
}

/// Instructions that change flags only, or nothing.
fn has_no_result(name: &str) -> bool {
    ["cmp", "cmn", "tst", "ccmp", "ccmn", "nop", "hint", "bti", "paciasp", "autiasp"].contains(&name)
}

fn is_memory_operation(name: &str) -> bool {
    ["ld", "st", "dmb", "dsb", "isb", "cas", "swp", "prfm", "dc", "ic"].iter().any(|it| name.starts_with(it))
}

/// `w3` and `x3` are one register.
fn register(name: &str) -> String {
    match name.strip_prefix('w') {
        Some("zr") => "xzr".into(),
        Some("sp") => "sp".into(),
        Some(number) => format!("x{number}"),
        None => name.into(),
    }
}

impl Value {
    fn private(term: &str) -> Value {
        Value { term: term.into(), constant: 0, private: true }
    }

    fn of(term: String) -> Value {
        Value { term, constant: 0, private: false }
    }

    fn constant(constant: i64) -> Value {
        Value { term: String::new(), constant, private: false }
    }

    fn plus(&self, other: &Value) -> Value {
        let mut terms = [self.term.as_str(), other.term.as_str()];
        terms.sort_unstable();
        let term = match terms {
            ["", term] => term.to_owned(),
            [one, two] => format!("({one} + {two})"),
        };
        Value { term, constant: self.constant + other.constant, private: self.private || other.private }
    }

    fn shown(&self) -> String {
        match (self.term.as_str(), self.constant) {
            ("", constant) => constant.to_string(),
            (term, 0) => term.to_owned(),
            (term, constant) => format!("{term}+{constant}"),
        }
    }
}

impl State {
    fn set(&mut self, name: &str, value: Value) {
        self.registers.insert(register(name), value);
    }

    /// The value of a register, of a constant, or of a term like `lsl #3`, which is its own.
    fn get(&self, operand: &str) -> Value {
        let number = operand.trim_start_matches('#');
        let parsed = match number.strip_prefix("0x") {
            Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16).ok(),
            None => number.parse().ok(),
        };
        match (operand, parsed) {
            ("xzr" | "wzr", _) => Value::constant(0),
            (_, Some(number)) => Value::constant(number),
            (name, None) => match self.registers.get(&register(name)) {
                Some(value) => value.clone(),
                None => Value::of(name.to_owned()),
            },
        }
    }

    fn execute(&mut self, instruction: &Instruction, at: usize) {
        let Instruction { name, operands } = instruction;
        match name.as_str() {
            "dmb" => {
                let name = format!("DMB {}", operands[0].to_uppercase());
                self.operations.push(Operation { name, address: None });
            }
            _ if is_memory_operation(name) => self.access(name, operands),
            _ if has_no_result(name) => {}
            "mov" => self.set(&operands[0], self.get(&operands[1])),
            "add" | "sub" => self.set(&operands[0], self.sum(name == "sub", &operands[1..], at)),
            // The address of a constant or of the table of other objects.
            "adrp" | "adr" => self.set(&operands[0], Value::private(&operands[1])),
            _ => {
                let value = self.term(name, &operands[1..], at);
                self.set(&operands[0], value);
            }
        }
    }

    /// The result of any other instruction: equal instructions with equal operands give equal
    /// results, unless flags take part.
    fn term(&self, name: &str, operands: &[String], at: usize) -> Value {
        let values: Vec<Value> = operands.iter().map(|operand| self.get(operand)).collect();
        let shown = values.iter().map(Value::shown).collect::<Vec<_>>().join(", ");
        let takes_flags = ["cs", "ci", "cn"].iter().any(|it| name.starts_with(it));
        let flags = if takes_flags { format!("@{at}") } else { String::new() };
        Value {
            term: format!("{name}{flags}({shown})"),
            constant: 0,
            private: values.iter().any(|value| value.private),
        }
    }

    fn sum(&self, subtract: bool, operands: &[String], at: usize) -> Value {
        let first = self.get(&operands[0]);
        let second = match operands.get(2) {
            Some(shift) => self.shifted(shift, &operands[1], at),
            None => self.get(&operands[1]),
        };
        match (subtract, second.term.is_empty()) {
            (false, _) => first.plus(&second),
            (true, true) => first.plus(&Value::constant(-second.constant)),
            (true, false) => self.term("sub", operands, at),
        }
    }

    /// A shift to the left keeps a constant apart: `(index + 8) * 8` is `index * 8 + 64`.
    fn shifted(&self, shift: &str, operand: &str, at: usize) -> Value {
        let value = self.get(operand);
        match shift.strip_prefix("lsl #").and_then(|bits| bits.parse::<u32>().ok()) {
            Some(bits) if value.term.is_empty() => Value::constant(value.constant << bits),
            Some(bits) => Value {
                term: format!("({} << {bits})", value.term),
                constant: value.constant << bits,
                ..value
            },
            None => self.term(shift, &[operand.to_owned()], at),
        }
    }

    /// The address that an operand in brackets means, and the operands behind it.
    fn address(&mut self, operands: &[String]) -> (usize, Value) {
        let position = operands.iter().position(|operand| operand.starts_with('['));
        let position = position.expect("an instruction that accesses memory has an address");
        let text = &operands[position];
        let inner = text.trim_end_matches('!').trim_start_matches('[').trim_end_matches(']');
        let parts: Vec<String> = inner.split(',').map(|part| part.trim().to_owned()).collect();
        let address = if parts.len() == 1 { self.get(&parts[0]) } else { self.sum(false, &parts, 0) };
        if text.ends_with('!') {
            self.set(&parts[0], address.clone());
        } else if let Some(step) = operands.get(position + 1) {
            let next = address.plus(&self.get(step));
            self.set(&parts[0], next);
        }
        (position, address)
    }

    fn access(&mut self, name: &str, operands: &[String]) {
        let (position, address) = self.address(operands);
        let registers = &operands[..position];
        if address.private {
            return self.access_private(name, registers, &address);
        }
        let whole = registers.iter().all(|register| register.starts_with('x'));
        let plain = match name {
            "ldur" => "ldr",
            "stur" => "str",
            name => name,
        };
        let note = if whole { "" } else { " not of one word" };
        for (index, offset) in registers.iter().zip((0..).step_by(8)) {
            if name.starts_with("ld") {
                self.set(index, Value::of(format!("[{}+{}]", address.shown(), offset)));
            }
            let address = Address { base: address.term.clone(), offset: address.constant + offset };
            let name = format!("{}{note}", plain.to_uppercase());
            self.operations.push(Operation { name, address: Some(address) });
        }
    }

    fn access_private(&mut self, name: &str, registers: &[String], address: &Value) {
        for (register, offset) in registers.iter().zip((0..).step_by(8)) {
            let place = (address.term.clone(), address.constant + offset);
            if name.starts_with("st") {
                self.stored.insert(place, self.get(register));
                continue;
            }
            let unknown = || Value::of(format!("[{}+{}]", place.0, place.1));
            let value = self.stored.get(&place).cloned().unwrap_or_else(unknown);
            self.set(register, value);
        }
    }

    /// The compiler's functions for atomic additions, of `x0` to the word at `x1`; whether the
    /// processor has an instruction for that is decided when they run.
    fn call(&mut self, function: &str) {
        if !function.starts_with("__aarch64_ldadd8") {
            self.called.get_or_insert_with(|| function.to_owned());
            return;
        }
        let ordering = match function.rsplit('_').next() {
            Some("relax") => "",
            Some("acq") => "A",
            Some("rel") => "L",
            _ => "AL",
        };
        let address = self.get("x1");
        let address = Address { base: address.term, offset: address.constant };
        self.operations.push(Operation { name: format!("LDADD{ordering}"), address: Some(address) });
        for register in (0..18).map(|number| format!("x{number}")) {
            let value = Value::of(format!("{register} after {function}"));
            self.set(&register, value);
        }
    }
}
