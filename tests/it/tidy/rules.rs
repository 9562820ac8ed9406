//! The rules, as tables where they can be.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{NamedPath, Token, end_of_item, paths, remove_tests, tokens};
use super::{calls, text};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const ARGUMENTS_MAX: usize = 5;
/// Functions whose arguments another crate's trait decides.
const FOREIGN: &[(&str, &[&str])] = &[("mount/kernel.rs", &["read", "release", "lseek"])];

/// A stratum: its top-level modules, what they may import beside each other, and what they must
/// never name.
struct Stratum {
    modules: &'static str,
    imports: &'static str,
    never: &'static [&'static str],
}

const INPUT_AND_OUTPUT: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::time",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant",
    "getrandom",
    "rand",
    "rustix",
    "rayon",
    "OsRng",
    "tempfile",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
];
const ENVIRONMENT: &[&str] = &["std::env", "println!", "print!", "eprintln!", "eprint!", "dbg!"];
const PRINTING: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!"];
const ENVIRONMENT_AND_STORES: &[&str] =
    &["std::env", "println!", "print!", "eprintln!", "eprint!", "dbg!", "dyn Store"];

const STRATA: &[Stratum] = &[
    Stratum { modules: "id monitor alignment sync", imports: "", never: INPUT_AND_OUTPUT },
    Stratum {
        modules: "format crypto chunker compress container retention rules schedule",
        imports: "id monitor alignment sync",
        never: INPUT_AND_OUTPUT,
    },
    Stratum { modules: "store", imports: "id monitor alignment sync", never: ENVIRONMENT },
    Stratum {
        modules: "os",
        imports: "id monitor alignment sync format::entry",
        never: ENVIRONMENT,
    },
    Stratum {
        modules: "repo",
        imports: "id monitor alignment sync format crypto chunker compress container retention rules store",
        never: ENVIRONMENT,
    },
    Stratum {
        modules: "backup restore browse maintain copy mount",
        imports: "id monitor alignment sync format crypto chunker compress container retention rules repo os",
        never: ENVIRONMENT_AND_STORES,
    },
    Stratum {
        modules: "settings connect text",
        imports: "id monitor alignment sync format crypto chunker compress container retention rules schedule store repo os",
        never: PRINTING,
    },
    Stratum {
        modules: "sources jobs notify metrics",
        imports: "id monitor alignment sync format crypto chunker compress container retention rules schedule repo os backup restore browse maintain copy \
                  mount settings connect text",
        never: ENVIRONMENT_AND_STORES,
    },
    Stratum {
        modules: "api",
        imports: "id monitor alignment sync format crypto chunker compress container retention rules schedule store repo os backup restore browse maintain \
                  copy mount settings connect text sources jobs notify metrics",
        never: PRINTING,
    },
    Stratum {
        modules: "ui web cli main lib",
        imports: "id monitor alignment sync format crypto chunker compress container retention rules schedule store repo os backup restore browse maintain \
                  copy mount settings connect text sources jobs notify metrics api",
        never: &[],
    },
];

/// A source file: its place in the module tree, its tokens without tests, and its paths.
struct Module<'a> {
    file: &'a str,
    place: Vec<&'a str>,
    tokens: Vec<Token<'a>>,
    paths: Vec<NamedPath<'a>>,
    lines: usize,
}

type Places<'a> = BTreeMap<Vec<&'a str>, usize>;

/// Returns all that is wrong with the given files (path relative to `src/`, and text).
pub fn complaints(files: &BTreeMap<String, String>) -> Vec<String> {
    let modules: Vec<Module> = files
        .iter()
        .filter(|(file, _)| !file.ends_with("tests.rs") && !file.contains("/tests/"))
        .map(|(file, text)| read(file, text))
        .collect();
    let places: Places = modules
        .iter()
        .enumerate()
        .map(|(position, module)| (module.place.clone(), position))
        .collect();
    let mut found = Vec::new();
    for module in &modules {
        check_imports(module, &modules, &places, &mut found);
        check_words(module, &mut found);
        check_sizes(module, &mut found);
        calls::check(module.file, &module.tokens, &mut found);
    }
    check_cycles(&modules, &places, &mut found);
    files.iter().for_each(|(file, content)| text::check(file, content, &mut found));
    found
}

fn read<'a>(file: &'a str, text: &'a str) -> Module<'a> {
    let mut tokens = tokens(text);
    let lines = text.lines().count() - remove_tests(&mut tokens);
    let place = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let place = if place == "lib" { Vec::new() } else { place.split('/').collect() };
    Module { file, place, paths: paths(&tokens), tokens, lines }
}

/// Returns the name that the strata know a module by.
fn top<'a>(place: &[&'a str]) -> &'a str {
    place.first().copied().unwrap_or("lib")
}

fn stratum_of(top: &str) -> Option<&'static Stratum> {
    STRATA.iter().find(|stratum| stratum.modules.split(' ').any(|name| name == top))
}

/// Returns where in this crate a path leads, from the crate's root, or `None` if it leads to
/// another crate.
fn absolute<'a>(path: &NamedPath<'a>, place: &[&'a str], places: &Places) -> Option<Vec<&'a str>> {
    let mut base = place.to_vec();
    let mut rest = &path.parts[..];
    match rest[0] {
        "crate" | "drumlin" => base.clear(),
        "self" => {}
        "super" => {
            while rest.get(1) == Some(&"super") {
                base.pop();
                rest = &rest[1..];
            }
            base.pop();
        }
        child => {
            base.push(child);
            let is_child = places.contains_key(&base) && place.first() != Some(&child);
            return is_child.then(|| [place, rest].concat());
        }
    }
    Some([&base[..], &rest[1..]].concat())
}

/// Returns the module that an absolute path leads to, through re-exports where there are any.
fn resolve(path: &[&str], modules: &[Module], places: &Places) -> Option<usize> {
    let (prefix, module) = (1..=path.len())
        .rev()
        .find_map(|len| places.get(&path[..len]).map(|module| (len, *module)))?;
    let export = path.get(prefix).and_then(|wanted| {
        modules[module].paths.iter().find(|p| p.exported && p.parts.last() == Some(wanted))
    });
    let beyond = export
        .and_then(|p| absolute(p, &modules[module].place, places))
        .filter(|beyond| beyond != path);
    beyond.and_then(|beyond| resolve(&beyond, modules, places)).or(Some(module))
}

fn check_imports(module: &Module, modules: &[Module], places: &Places, found: &mut Vec<String>) {
    let own = top(&module.place);
    let Some(stratum) = stratum_of(own) else {
        return found.push(format!("{}: module `{own}` is in no stratum", module.file));
    };
    for path in &module.paths {
        let at = format!("{}:{}", module.file, path.line);
        let Some(target) = absolute(path, &module.place, places) else { continue };
        if path.parts.last() == Some(&"*") {
            found.push(format!("{at}: imports everything: name what is used"));
            continue;
        }
        let is_here = target.is_empty()
            || target[0] == own
            || stratum.modules.split(' ').any(|name| name == target[0]);
        let text = target.join("::");
        let is_below = stratum
            .imports
            .split_whitespace()
            .any(|allowed| text == allowed || text.starts_with(&format!("{allowed}::")));
        let is_own_item = module.place.is_empty()
            || resolve(&target, modules, places).is_none()
                && stratum_of(target.first().unwrap_or(&"")).is_none();
        if !is_here && !is_below && !is_own_item {
            found.push(format!("{at}: `{own}` must not import `{text}`"));
        }
    }
}

fn check_words(module: &Module, found: &mut Vec<String>) {
    let never = stratum_of(top(&module.place)).map_or(&[][..], |stratum| stratum.never);
    let mut complain =
        |line: usize, what: String| found.push(format!("{}:{line}: {what}", module.file));
    for path in &module.paths {
        let text = path.parts.join("::");
        for word in never.iter().filter(|word| word.contains("::")) {
            if text == **word || text.starts_with(&format!("{word}::")) {
                complain(path.line, format!("must not use `{word}`"));
            }
        }
    }
    for call in module.tokens.windows(4).filter(|_| never.contains(&"dyn Store")) {
        if call.iter().map(|token| token.text).eq([".", "store", "(", ")"]) {
            complain(call[0].line, "asks for the store: let `repo` answer the question".to_owned());
        }
    }
    for pair in module.tokens.windows(2) {
        let [first, second] = [pair[0].text, pair[1].text];
        for word in never.iter().filter(|word| !word.contains("::")) {
            let is_there = match word.split_once(' ') {
                Some((one, two)) => first == one && second == two,
                None => word
                    .strip_suffix('!')
                    .map_or(first == *word, |name| first == name && second == "!"),
            };
            if is_there {
                complain(pair[0].line, format!("must not use `{word}`"));
            }
        }
        if first == "." && second == "unwrap" {
            complain(
                pair[0].line,
                "unwraps: return the error, or `expect` and say why it cannot fail".to_owned(),
            );
        }
        let names_type = matches!(first, "struct" | "enum" | "trait" | "type" | "mod");
        if names_type
            && ["Manager", "Helper", "Util", "helpers", "utils"]
                .iter()
                .any(|vague| second.ends_with(vague))
        {
            complain(pair[0].line, format!("`{second}` says nothing"));
        }
        if first.ends_with("DONT_SYNC") {
            complain(
                pair[0].line,
                "must ask servers for stamps of now, not for what is remembered of them".to_owned(),
            );
        }
    }
}

fn check_sizes(module: &Module, found: &mut Vec<String>) {
    if module.lines > FILE_LINES_MAX {
        found.push(format!(
            "{}: {} lines, at most {FILE_LINES_MAX} before tests",
            module.file, module.lines
        ));
    }
    let tokens = &module.tokens;
    for at in (0..tokens.len().saturating_sub(1))
        .filter(|at| tokens[*at].text == "fn" && tokens[*at + 1].text != "(")
    {
        let (name, line) = (tokens[at + 1].text, tokens[at].line);
        let last = end_of_item(tokens, at, "{", "}") - 1;
        let lines = tokens[last].line - line + 1;
        if lines > FUNCTION_LINES_MAX {
            found.push(format!(
                "{}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}",
                module.file
            ));
        }
        let is_foreign =
            FOREIGN.iter().any(|(file, names)| module.file == *file && names.contains(&name));
        if is_foreign {
            continue;
        }
        let parameters = parameters(&tokens[at..=last]);
        if parameters.iter().any(Option::is_some) {
            found.push(format!("{}:{line}: `{name}` takes a tuple: name its parts", module.file));
        }
        let arguments: usize = parameters.iter().map(|elements| elements.unwrap_or(1)).sum();
        if arguments > ARGUMENTS_MAX {
            found.push(format!(
                "{}:{line}: `{name}` has {arguments} arguments, at most {ARGUMENTS_MAX}",
                module.file
            ));
        }
    }
}

/// Returns the parameters of a function, without `self`: how many elements one has that is a tuple,
/// and `None` for any other. Each has one `:` in the first parentheses outside of `<>`.
fn parameters(function: &[Token]) -> Vec<Option<usize>> {
    let (mut angles, mut start) = (0, function.len());
    for (at, token) in function.iter().enumerate() {
        let is_arrow = token.text == ">" && at > 0 && function[at - 1].text == "-";
        angles += i32::from(token.text == "<") - i32::from(token.text == ">" && !is_arrow);
        if token.text == "(" && angles == 0 {
            start = at;
            break;
        }
    }
    let (mut depth, mut pattern, mut found) = (0, start + 1, Vec::new());
    for (at, token) in function.iter().enumerate().skip(start) {
        depth += nesting(token);
        match token.text {
            _ if depth == 0 => break,
            "," if depth == 1 => pattern = at + 1,
            ":" if depth == 1 => {
                let elements = tuple_len(&function[pattern..at]);
                found.push(elements.or_else(|| tuple_len(&function[at + 1..])));
            }
            _ => {}
        }
    }
    found
}

/// Returns how many elements the tuple has that a pattern or type is, or refers to. Parentheses
/// without a comma, as in `&(dyn Error + Send)`, are no tuple.
fn tuple_len(tokens: &[Token]) -> Option<usize> {
    let mut rest = tokens;
    while let Some(token) = rest.first() {
        rest = match token.text {
            "&" | "mut" => &rest[1..],
            "'" => rest.get(2..)?,
            "(" => break,
            _ => return None,
        };
    }
    let (mut depth, mut commas, mut last) = (0, 0, "");
    for token in rest {
        let is_arrow = token.text == ">" && last == "-";
        depth += nesting(token) + i32::from(token.text == "<");
        depth -= i32::from(token.text == ">" && !is_arrow);
        if depth == 0 {
            break;
        }
        commas += usize::from(depth == 1 && token.text == ",");
        last = token.text;
    }
    (commas > 0).then_some(commas + usize::from(last != ","))
}

/// Returns by how much a token goes deeper into brackets.
fn nesting(token: &Token) -> i32 {
    i32::from(matches!(token.text, "(" | "[" | "{"))
        - i32::from(matches!(token.text, ")" | "]" | "}"))
}

/// Complains about cycles between files, and about cycles between top-level modules.
fn check_cycles(modules: &[Module], places: &Places, found: &mut Vec<String>) {
    let (mut files, mut tops) =
        (BTreeMap::<&str, BTreeSet<&str>>::new(), BTreeMap::<&str, BTreeSet<&str>>::new());
    for module in modules.iter().filter(|module| !module.place.is_empty()) {
        for path in &module.paths {
            let Some(target) = absolute(path, &module.place, places) else { continue };
            let is_facade = path.exported && target.starts_with(&module.place);
            let Some(to) = resolve(&target, modules, places)
                .map(|to| &modules[to])
                .filter(|to| to.file != module.file)
            else {
                continue;
            };
            if !is_facade {
                files.entry(module.file).or_default().insert(to.file);
            }
            if top(&to.place) != top(&module.place) {
                tops.entry(top(&module.place)).or_default().insert(top(&to.place));
            }
        }
    }
    let cycle = find_cycle(&files).or_else(|| find_cycle(&tops));
    found.extend(cycle.map(|cycle| format!("imports go in a circle: {}", cycle.join(" -> "))));
}

fn find_cycle<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn visit<'a>(
        at: &'a str,
        edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        let is_closed = way.contains(&at);
        way.push(at);
        if is_closed {
            return true;
        }
        for to in edges.get(at).into_iter().flatten() {
            if !done.contains(to) && visit(to, edges, way, done) {
                return true;
            }
        }
        way.pop();
        done.insert(at);
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    let from = edges
        .keys()
        .find(|from| !done.contains(*from) && visit(from, edges, &mut way, &mut done))?;
    debug_assert!(way.first() == Some(from));
    let start = way.iter().position(|at| Some(at) == way.last())?;
    Some(way.split_off(start))
}
