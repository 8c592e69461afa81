use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    fmt::Write,
    thread,
};

use async_graphql::{
    Name, Positioned, Request, Variables,
    parser::{
        parse_query,
        types::{OperationType, Selection, SelectionSet},
    },
};
use proptest::prelude::*;

use super::{price::CONNECTIONS, shape::Survey, source::Token, *};

thread_local! {
    /// Selections looked at by the walks of this thread.
    pub(super) static VISITED: Cell<usize> = const { Cell::new(0) };
}

/// `getIntrospectionQuery` of graphql-js 16.15 with every option on.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema {
    description queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType }
    directives(includeDeprecated: true) {
      name description isRepeatable isDeprecated deprecationReason locations
      args(includeDeprecated: true) { ...InputValue }
    } } }
    fragment FullType on __Type {
      kind name description specifiedByURL isOneOf
      fields(includeDeprecated: true) {
        name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef }
        isDeprecated deprecationReason
      }
      inputFields(includeDeprecated: true) { ...InputValue }
      interfaces { ...TypeRef }
      enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
      possibleTypes { ...TypeRef }
    }
    fragment InputValue on __InputValue {
      name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
    }
    fragment TypeRef on __Type { kind name
      ofType { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name kind
      ofType { name kind ofType { name kind ofType { name kind ofType { name kind } } } } } } } } } }";

fn parse(source: &str) -> ExecutableDocument {
    parse_query(source).expect("the test's document parses")
}

fn inspected(source: &str) -> Result<Outline, Refusal> {
    inspect(&parse(source), None, &Limits::default())
}

fn priced(source: &str, variables: &str) -> u64 {
    let unlimited = Limits { max_complexity: u64::MAX, ..Limits::default() };
    cost(&parse(source), None, &variables_of(variables), &unlimited).expect("no limit on the price")
}

/// The variables of a GraphQL object literal.
fn variables_of(literal: &str) -> Variables {
    let document = parse(&format!("query($variables: X = {literal}) {{ x }}"));
    let operation = find_operation(&document, None).expect("one operation");
    let default = operation.variable_definitions[0].node.default_value.clone().expect("written above");
    Variables::from_value(default.node)
}

/// What walks looked at while `walk` ran.
fn visits<T>(walk: impl FnOnce() -> T) -> (T, usize) {
    VISITED.set(0);
    let result = walk();
    (result, VISITED.get())
}

/// Selections as written, each once.
fn written(document: &ExecutableDocument) -> usize {
    fn of(set: &SelectionSet) -> usize {
        let below = |item: &Positioned<Selection>| match &item.node {
            Selection::Field(field) => of(&field.node.selection_set.node),
            Selection::InlineFragment(fragment) => of(&fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => 0,
        };
        set.items.iter().map(|item| 1 + below(item)).sum()
    }
    let operations: usize = document.operations.iter().map(|(_, op)| of(&op.node.selection_set.node)).sum();
    let fragments: usize = document.fragments.values().map(|fragment| of(&fragment.node.selection_set.node)).sum();
    operations + fragments
}

fn bomb(levels: usize, spreads: usize) -> String {
    let mut source = "{...f0}".to_owned();
    for level in 0..levels {
        let body = if level + 1 == levels { "id".to_owned() } else { format!("...f{}", level + 1).repeat(spreads) };
        write!(source, "fragment f{level} on Query{{{body}}}").expect("writing to a string");
    }
    source
}

// ------------------------------------------------------------ text

#[test]
fn a_document_has_so_many_bytes_and_tokens() {
    let limits = Limits::default();
    let padded = |n_bytes: usize| format!("{:<n_bytes$}", "{a}");
    assert_eq!(check_source(&padded(16 * 1024), &limits), Ok(()));
    assert_eq!(check_source(&padded(16 * 1024 + 1), &limits), Err(Refusal::TooManyBytes { limit: 16 * 1024 }));

    let fields = |n_fields: usize| format!("{{{}}}", "a ".repeat(n_fields));
    assert_eq!(measure_source(&fields(1_998), &limits), Ok(2_000));
    assert_eq!(check_source(&fields(1_999), &limits), Err(Refusal::TooManyTokens { limit: 2_000 }));
}

#[test]
fn tokens_are_what_the_parser_takes_as_one() {
    let tokens = |source: &str| measure_source(source, &Limits::default());
    assert_eq!(tokens(""), Ok(0));
    assert_eq!(tokens("# only { a comment\r{a}"), Ok(3));
    assert_eq!(tokens("{,,a,,,b}\u{feff}"), Ok(4));
    assert_eq!(tokens("... @include(if: $a)"), Ok(9));
    assert_eq!(tokens("-1.5e+10 0 7"), Ok(3));
    assert_eq!(tokens("007"), Ok(3));
    assert_eq!(tokens("\"\" \"\\\"\" \"\"\"\"\"\" \"\"\"a\"b\"\"\""), Ok(4));
    assert_eq!(tokens("{a(b: \"👩‍👩‍👧 {[(\") }"), Ok(8));
    assert_eq!(tokens("👩"), Ok(1));
    assert_eq!(tokens("a\0b"), Ok(3));
    assert_eq!(tokens("\"a\0b\""), Ok(1));
}

#[test]
fn brackets_nest_so_deep_and_the_parser_bears_it() {
    let limits = Limits::default();
    for (open, close) in [("{", "}"), ("(", ")"), ("[", "]")] {
        let nested = |depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(check_source(&nested(64), &limits), Ok(()));
        assert_eq!(check_source(&nested(65), &limits), Err(Refusal::TooManyBrackets { limit: 64 }));
    }
    let many = Limits { max_document_bytes: 1 << 20, max_tokens: 1 << 20, ..limits.clone() };
    assert_eq!(check_source(&"{a".repeat(30_000), &many), Err(Refusal::TooManyBrackets { limit: 64 }));
    assert_eq!(check_source(&"[]".repeat(30_000), &many), Ok(()));
    let list = format!("{{a(b: {})}}", "[".repeat(50_000));
    assert_eq!(check_source(&list, &many), Err(Refusal::TooManyBrackets { limit: 64 }));

    // The deepest that is let through, on half a stack of the runtime's threads.
    let (selections, lists, objects) = ("{a".repeat(32), "[".repeat(64), "{a:".repeat(32));
    let deepest = format!("{selections}(a:{lists}{objects}1{}{}){}", "}".repeat(32), "]".repeat(64), "}".repeat(32));
    assert_eq!(check_source(&deepest, &limits), Ok(()));
    let parser = thread::Builder::new().stack_size(1 << 20).spawn(move || parse_query(deepest).is_ok());
    assert!(parser.expect("a thread").join().expect("no overflow"));
}

#[test]
fn brackets_in_strings_and_comments_are_text() {
    let brackets = "{[(".repeat(100);
    for source in [
        format!("{{a(b: \"{brackets}\")}}"),
        format!("{{a(b: \"\\\"{brackets}\\\\\")}}"),
        format!("{{a(b: \"\"\"\n {brackets} \"{brackets}\" \\\"\"\" {brackets} # no comment\n\"\"\")}}"),
        format!("{{a # {brackets} \" \"\"\"\n}}"),
    ] {
        assert_eq!(check_source(&source, &Limits::default()), Ok(()), "{source}");
        assert!(parse_query(&source).is_ok(), "{source}");
    }
    let after = format!("{{a(b: \"\"\"x\"\"\" {}", "[".repeat(65));
    assert_eq!(check_source(&after, &Limits::default()), Err(Refusal::TooManyBrackets { limit: 64 }));
}

#[test]
fn a_string_without_an_end_never_reaches_the_parser() {
    for (source, line, column) in [
        ("{a(b: \"", 1, 7),
        ("{a\n é(b: \"c\n\")}", 2, 7),
        ("{a(b: \"c\\", 1, 7),
        ("{a(b: \"c\\\n\")}", 1, 7),
        ("{a(b: \"\"\"c\\\"\"\")}", 1, 7),
        // The parser reads an empty string and another.
        ("{a(b: [\"\"\"c\"])}", 1, 8),
    ] {
        let refused = Err(Refusal::UnterminatedString { line, column });
        assert_eq!(check_source(source, &Limits::default()), refused, "{source}");
    }
}

#[test]
fn escapes_are_written_as_the_parser_knows_them() {
    let value = |literal: &str| {
        let source = format!("{{a(b: {literal})}}");
        let plain = plain_escapes(&source).expect(literal);
        let document = parse_query(&*plain).ok()?;
        let operation = find_operation(&document, None).expect("one operation");
        let Selection::Field(field) = &operation.selection_set.node.items[0].node else { panic!("a field") };
        let value = field.node.arguments[0].1.node.clone().into_const().expect("no variable");
        let async_graphql::Value::String(text) = value else { panic!("a string") };
        Some(text)
    };
    for (literal, text) in [
        (r#""\ud83d\udc4d""#, Some("👍")),
        (r#""\uD83D\uDC4D!""#, Some("👍!")),
        (r#""\u{1F44D}""#, Some("👍")),
        (r#""\u{0001f44D}a\u{61}""#, Some("👍aa")),
        (r#""\u{22}\u{5c}\u{A}\u{D}\u{0}\u{7F}""#, Some("\"\\\n\r\0\u{7f}")),
        (r#""a\u{e4}\u00e4ä\ud83d\udc4d\u{1F44D}\n""#, Some("aäää👍👍\n")),
        (r#""\u{10FFFF}\udbff\udfff""#, Some("\u{10FFFF}\u{10FFFF}")),
        (r#""\\ud83d \\u{1F44D}""#, Some(r"\ud83d \u{1F44D}")),
        (r#""\\\u{1F44D}""#, Some("\\👍")),
        (r#""""\ud83d \u{1F44D} \u{zz}""""#, Some(r"\ud83d \u{1F44D} \u{zz}")),
        // No escapes: the parser's to refuse.
        (r#""\u{}""#, None),
        (r#""\u{110000}""#, None),
        (r#""\u{FFFFFFFFFFFFFFFF}""#, None),
        (r#""\u{12 34}""#, None),
        (r#""\u{+61}""#, None),
        (r#""\u{1F44D""#, None),
        (r#""\u12""#, None),
        (r#""\u12ä4""#, None),
        (r#""\U0001F44D""#, None),
    ] {
        assert_eq!(value(literal).as_deref(), text, "{literal}");
    }
    for lone in [
        r#""\ud83d""#,
        r#""\udc4d""#,
        r#""\ud83d \udc4d""#,
        r#""\ud83d\ud83d\udc4d""#,
        r#""\udc4d\ud83d""#,
        r#""\u{d83d}\u{dc4d}""#,
        r#""\ud83d\u{dc4d}""#,
        r#""\ud83d\n""#,
        r#""\ud83dä""#,
    ] {
        let refused = Refusal::LoneSurrogate { line: 2, column: 6 };
        assert_eq!(plain_escapes(&format!("{{\n a(b: {lone})}}").replace("a(b: ", "a(b:")), Err(refused), "{lone}");
    }
}

#[test]
fn escapes_elsewhere_and_what_follows_them_stay_where_they_are() {
    for source in
        ["{a}", r#"{a(b: "\u00e4\n\\")}"#, "{a} # \\ud83d \\u{1F44D}", r#"{a(b: """\ud83d""")}"#, r#"{a \u{1F44D}}"#]
    {
        assert!(matches!(plain_escapes(source), Ok(std::borrow::Cow::Borrowed(same)) if same == source), "{source}");
    }
    let source = r#"{a(b: "\ud83d\udc4d \u{61}") b(c: "\u{1}") "\u{1F44D}\u{1F44D}" d}"#;
    let plain = plain_escapes(source).expect("no half pairs");
    for name in ["b(c", ") \"", "d}"] {
        let column = |text: &str| text[..text.rfind(name).expect(name)].chars().count();
        assert!(column(&plain).abs_diff(column(source)) <= 1, "{name} in {plain}");
    }
}

proptest! {
    #[test]
    fn plain_escapes_never_fail_and_change_no_token(parts in prop::collection::vec(
        prop::sample::select(vec!["\"", "\\", "u", "{", "}", "d83d", "dc4d", "\\ud83d", "\\udc4d", "\\u{1F44D}", "\\u{41}",
            "ä", "a", "\"\"\"", " ", "\n", "#", "🦀", "(", ")"]), 0..40,
    )) {
        let source = parts.concat();
        if let Ok(plain) = plain_escapes(&source) {
            let kinds = |text: &str| Lexer::new(text).map(|token| token.kind).collect::<Vec<_>>();
            prop_assert_eq!(kinds(&plain), kinds(&source), "{} {}", source, plain);
            prop_assert_eq!(plain_escapes(&plain), Ok(std::borrow::Cow::Borrowed(&*plain)));
        }
    }
}

// ------------------------------------------------------------ shape

#[test]
fn bombs_are_refused_without_being_expanded() {
    assert!(bomb(22, 2).len() < 774);
    for (levels, spreads) in [(22, 2), (8, 8), (30, 2), (4, 40), (7, 14), (31, 2)] {
        let source = bomb(levels, spreads);
        assert_eq!(check_source(&source, &Limits::default()), Ok(()));
        let document = parse(&source);
        let (refused, visited) = visits(|| inspect(&document, None, &Limits::default()));
        assert_eq!(refused, Err(Refusal::TooManySelections { limit: 1_000 }), "{levels} × {spreads}");
        assert_eq!(visited, written(&document), "{levels} × {spreads}");

        let (_, visited) = visits(|| cost(&document, None, &Variables::default(), &Limits::default()));
        assert_eq!(visited, written(&document), "{levels} × {spreads}");
        let (_, visited) = visits(|| variables_used_below_root(&document, None));
        assert!(visited <= 2 * written(&document), "{levels} × {spreads}");
    }
    // Longer ones break the limit of nesting, and are not walked to their end.
    let document = parse(&bomb(200, 2));
    let (refused, visited) = visits(|| inspect(&document, None, &Limits::default()));
    assert_eq!(refused, Err(Refusal::TooManyLevels { limit: 32 }));
    assert!(visited <= written(&document));
    // A bomb that nothing uses, and one behind an operation that was not asked for.
    let unused = parse(&bomb(22, 2).replace("{...f0}", "{id}"));
    assert_eq!(inspect(&unused, None, &Limits::default()), Err(Refusal::TooManySelections { limit: 1_000 }));
    let beside = parse(&bomb(22, 2).replace("{...f0}", "query a{id} query b{...f0}"));
    assert_eq!(inspect(&beside, Some("a"), &Limits::default()), Err(Refusal::TooManySelections { limit: 1_000 }));
}

#[test]
fn what_is_allowed_is_visited_twice_at_most() {
    let document = parse(&bomb(9, 2));
    let (outline, visited) = visits(|| inspect(&document, None, &Limits { max_repeats: 256, ..Limits::default() }));
    assert_eq!(outline.expect("256 fields").selections, 256);
    assert_eq!(visited, 2 * written(&document));
}

#[test]
fn selections_are_counted_over_the_whole_document() {
    // 25 keys of 30 repeats, and what is missing to the sum.
    let fields = |n_fields: usize| (0..n_fields).map(|n| format!("f{} ", n % 40)).collect::<String>();
    assert_eq!(inspected(&format!("{{{}}}", fields(1_000))).map(|outline| outline.selections), Ok(1_000));
    let over = Err(Refusal::TooManySelections { limit: 1_000 });
    assert_eq!(inspected(&format!("{{{}}}", fields(1_001))), over);

    let two = |a, b| parse(&format!("query a{{{}}} query b{{...F}} fragment F on Query{{{}}}", fields(a), fields(b)));
    assert_eq!(inspect(&two(500, 500), Some("a"), &Limits::default()).map(|o| o.selections), Ok(500));
    assert_eq!(inspect(&two(500, 501), Some("a"), &Limits::default()), over);
}

#[test]
fn aliases_and_directives_are_counted_after_expansion() {
    let aliases = |n: usize| format!("{{{}}}", (0..n).map(|n| format!("a{n}: id ")).collect::<String>());
    assert_eq!(inspected(&aliases(30)).map(|outline| outline.aliases), Ok(30));
    assert_eq!(inspected(&aliases(31)), Err(Refusal::TooManyAliases { limit: 30 }));
    let spread = |n| format!("{{{}}} fragment F on Query {{a: b {{c: d e: f}}}}", "...F ".repeat(n));
    assert_eq!(inspected(&spread(10)).map(|outline| outline.aliases), Ok(30));
    assert_eq!(inspected(&spread(11)), Err(Refusal::TooManyAliases { limit: 30 }));

    let directives = |n: usize| format!("{{id {}}}", "@x ".repeat(n));
    assert_eq!(inspected(&directives(20)).map(|outline| outline.directives), Ok(20));
    assert_eq!(inspected(&directives(21)), Err(Refusal::TooManyDirectives { limit: 20 }));
    let everywhere = "query($v: Int @x) @x { a @x ... @x { b @x } ...F @x } fragment F on Query @x { c @x }";
    assert_eq!(inspected(everywhere).map(|outline| outline.directives), Ok(8));
    let unused = format!("{{id}} fragment F on Query {}{{id}}", "@x ".repeat(21));
    assert_eq!(inspected(&unused), Err(Refusal::TooManyDirectives { limit: 20 }));
}

#[test]
fn fields_nest_so_deep_with_or_without_fragments() {
    let fields = |depth: usize| format!("{}{}", "{a".repeat(depth), "}".repeat(depth));
    assert_eq!(inspected(&fields(16)).map(|outline| outline.depth), Ok(16));
    assert_eq!(inspected(&fields(17)), Err(Refusal::TooDeep { limit: 16 }));
    let spread = |depth: usize| format!("{{x{{...F}}}} fragment F on X {}", fields(depth));
    assert_eq!(inspected(&spread(15)).map(|outline| outline.depth), Ok(16));
    assert_eq!(inspected(&spread(16)), Err(Refusal::TooDeep { limit: 16 }));
    let inline = |levels: usize| format!("{}{{a}}{}", "{...".repeat(levels), "}".repeat(levels));
    assert_eq!(inspected(&inline(32)).map(|outline| outline.depth), Ok(1));
    assert_eq!(inspected(&inline(33)), Err(Refusal::TooManyLevels { limit: 32 }));
}

#[test]
fn one_response_key_is_asked_so_often() {
    let repeats = |n: usize| format!("{{viewer{{{}}}}}", "id ".repeat(n));
    assert!(inspected(&repeats(30)).is_ok());
    assert_eq!(inspected(&repeats(31)), Err(Refusal::TooManyRepeats { limit: 30 }));
    assert!(inspected(&format!("{{{}}}", "a{b} ".repeat(30))).is_ok());
    let spread = |n| format!("{{...G}} fragment F on Query{{id}} fragment G on Query{{{}}}", "...F ".repeat(n));
    assert!(inspected(&spread(30)).is_ok());
    assert_eq!(inspected(&spread(31)), Err(Refusal::TooManyRepeats { limit: 30 }));
    // Each type of a union may have the same field.
    let union = (0..40).map(|n| format!("... on T{n} {{id}} ")).collect::<String>();
    assert!(inspected(&format!("{{{union}}}")).is_ok());
}

#[test]
fn circles_are_refused() {
    for source in [
        "{...F} fragment F on Query {...F}",
        "{...F} fragment F on Query {a {... {...G}}} fragment G on A {b {...F}}",
        "{id} fragment F on Query {...G} fragment G on Query {...F}",
    ] {
        let refusal = inspected(source).expect_err(source);
        assert!(matches!(refusal, Refusal::CircularFragment { .. }), "{source}: {refusal}");
        assert_eq!(refusal.code(), "GRAPHQL_VALIDATION_FAILED");
    }
    let document = parse("subscription {...F} fragment F on Subscription {...G} fragment G on Subscription {...F}");
    let circle = Err(Refusal::CircularFragment { name: "F".to_owned() });
    assert_eq!(cost(&document, None, &Variables::default(), &Limits::default()), circle);
    assert!(variables_used_below_root(&document, None).is_empty());
    let untouched = inline_root_fragments(document, None);
    assert_eq!(untouched.fragments.len(), 2);
}

#[test]
fn fragments_unused_or_unknown_are_left_to_validation() {
    assert_eq!(inspected("{id} fragment F on Query {a {b}}").map(|outline| outline.selections), Ok(1));
    assert_eq!(inspected("{id ...F}").map(|outline| outline.selections), Ok(1));
}

#[test]
fn a_request_means_one_operation() {
    let two = parse("query a {id} mutation b {logout {x}}");
    let limits = Limits::default();
    let outline = inspect(&two, Some("b"), &limits).expect("the mutation");
    assert_eq!((outline.name.as_deref(), outline.kind), (Some("b"), OperationType::Mutation));
    assert_eq!(inspect(&two, None, &limits), Err(Refusal::OperationNameMissing));
    let unknown = Refusal::UnknownOperation { name: "c\\n".to_owned() };
    assert_eq!(inspect(&two, Some("c\n"), &limits), Err(unknown.clone()));
    assert_eq!(unknown.code(), "BAD_USER_INPUT");
    assert_eq!(cost(&two, None, &Variables::default(), &limits), Err(Refusal::OperationNameMissing));

    assert!(inspect(&parse("query a {id}"), None, &limits).is_ok());
    assert!(inspect(&parse("{id}"), Some("a"), &limits).is_err());
    let long = inspect(&two, Some(&"x".repeat(5_000)), &limits).expect_err("unknown").to_string();
    assert!(long.chars().count() < 100, "{long}");
}

#[test]
fn mutations_have_so_many_root_fields() {
    let fields = |n| format!("mutation {{__typename ...F}} fragment F on Mutation {{{}}}", "logout{x} ".repeat(n));
    let outline = inspected(&fields(10)).expect("ten");
    assert_eq!(outline.root_fields, vec!["logout"; 10]);
    assert_eq!(inspected(&fields(11)), Err(Refusal::TooManyRootFields { limit: 10 }));
    assert!(inspected(&fields(11).replace("mutation", "query")).is_ok());
}

#[test]
fn one_operation_signs_in_once() {
    for field in SIGN_IN_FIELDS {
        let outline = inspected(&format!("mutation {{{field} {{x}} logout {{x}}}}")).expect(field);
        assert_eq!(outline.sign_in_fields, 1);
        let twice = format!("mutation {{a: {field} {{x}} ... {{b: login {{x}}}}}}");
        assert_eq!(inspected(&twice), Err(Refusal::SeveralSignIns { count: 2 }));
    }
    // The count survives the limits that so many break as well.
    let guesses: String = (0..100).map(|n| format!("a{n}: login {{x}} ")).collect();
    assert_eq!(inspected(&format!("mutation {{{guesses}}}")), Err(Refusal::SeveralSignIns { count: 100 }));
    let spread = bomb(22, 2).replace("{...f0}", "mutation{...f0}").replace("{id}", "{login}");
    assert_eq!(inspected(&spread), Err(Refusal::SeveralSignIns { count: 1 << 21 }));
    let elsewhere = inspected("{login {x} register {x}}").expect("no mutation");
    assert_eq!(elsewhere.sign_in_fields, 0);
}

#[test]
fn subscriptions_have_one_root_field() {
    let one = "subscription {...F __typename} fragment F on Subscription {... {typing {user {id username}}}}";
    assert_eq!(inspected(one).map(|outline| outline.root_fields), Ok(vec!["typing".to_owned()]));
    for source in [
        "subscription {a b}",
        "subscription {a ...F} fragment F on Subscription {a}",
        "subscription {__typename}",
        "subscription {...F}",
    ] {
        assert_eq!(inspected(source), Err(Refusal::SubscriptionRoot), "{source}");
    }
    let directives = "subscription {... @include(if: true) {a @include(if: $x)}}";
    let name = "include".to_owned();
    assert_eq!(inspected(directives), Err(Refusal::SubscriptionDirectives { name }));
    assert!(inspected("subscription {... @include(if: $x) {a @include(if: $x) @skip(if: $y)}}").is_ok());
}

#[test]
fn the_introspection_query_of_graphql_js_passes() {
    let limits = Limits::default();
    assert_eq!(check_source(INTROSPECTION, &limits), Ok(()));
    let outline = inspected(INTROSPECTION).expect("it passes");
    assert!(outline.introspects);
    assert_eq!(outline.root_fields, ["__schema"]);
    let cost = cost(&parse(INTROSPECTION), None, &Variables::default(), &limits).expect("it passes");
    assert_eq!(cost, outline.selections);
    // Not by a hair.
    assert!(outline.selections < 500, "{outline:?}");
    let half = Limits { max_introspection: 150_000, ..limits };
    assert!(inspect(&parse(INTROSPECTION), None, &half).is_ok());
}

#[test]
fn introspection_nests_so_deep_and_not_in_circles() {
    let depth = |depth: usize| {
        let (open, close) = ("{ofType".repeat(depth - 1), "}".repeat(depth - 1));
        inspected(&format!("{{__type(name: \"X\"){open}{close}}}"))
    };
    let outline = depth(20).expect("twenty");
    assert_eq!(outline.depth, 1);
    assert_eq!(depth(21), Err(Refusal::TooDeep { limit: 20 }));

    let circles = |n: usize| {
        let (open, close) = ("{fields{type".repeat(n), "}}".repeat(n));
        inspected(&format!("{{__schema{{types{open}{{name}}{close}}}}}"))
    };
    assert!(circles(3).is_ok());
    assert_eq!(circles(4), Err(Refusal::TooMuchIntrospection));
    assert_eq!(circles(8), Err(Refusal::TooMuchIntrospection));
    let spread = "{__schema{types{...F}}} fragment F on __Type{fields{type{...G}}}
        fragment G on __Type{fields{type{...H}}} fragment H on __Type{fields{type{fields{type{name}}}}}";
    assert_eq!(inspected(spread), Err(Refusal::TooMuchIntrospection));
    // The names mean nothing elsewhere.
    assert!(inspected("{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}").is_ok());
}

// ------------------------------------------------------------ price

#[test]
fn pages_multiply_what_is_below_them() {
    let page = |arguments: &str| priced(&format!("{{thing{arguments}{{a}}}}"), "{}") - 1;
    assert_eq!(page(""), 1);
    assert_eq!(page("(first: 7)"), 7);
    assert_eq!(page("(last: 7)"), 7);
    assert_eq!(page("(first: 7, last: 9)"), 9);
    assert_eq!(page("(first: 0)"), 1);
    assert_eq!(page("(first: -5)"), 1);
    assert_eq!(page("(first: 100)"), 100);
    assert_eq!(page("(first: 101)"), 100);
    assert_eq!(page("(first: 99999999999999999999999)"), 100);
    assert_eq!(page("(first: 18446744073709551615)"), 100);
    assert_eq!(page("(first: -9223372036854775808)"), 1);
    assert_eq!(page("(first: 1.5)"), 100);
    assert_eq!(page("(first: \"7\")"), 100);
    assert_eq!(page("(first: [7])"), 100);
    assert_eq!(page("(first: null)"), DEFAULT_PAGE);
    assert_eq!(page("(first: null, last: 3)"), 3);
    assert_eq!(page("(first: $unknown)"), DEFAULT_PAGE);
    for connection in CONNECTIONS {
        assert_eq!(priced(&format!("{{{connection}(after: \"x\") {{a}}}}"), "{}"), 1 + DEFAULT_PAGE);
        assert_eq!(priced(&format!("{{a: {connection}(first: 2) {{a}}}}"), "{}"), 1 + 2);
        assert_eq!(priced(&format!("{{{connection}}}"), "{}"), 1);
    }
    assert_eq!(priced("{conversations(first: 20) {nodes {messages {nodes {body}}}}}", "{}"), {
        1 + 20 * (1 + (1 + DEFAULT_PAGE * (1 + 1)))
    });
}

#[test]
fn pages_and_ids_come_from_variables_too() {
    let source = "query($n: Int = 9) {thing(first: $n) {a}}";
    assert_eq!(priced(source, "{}"), 1 + 9);
    assert_eq!(priced(source, "{n: 4}"), 1 + 4);
    assert_eq!(priced(source, "{n: 400000}"), 1 + 100);
    assert_eq!(priced(source, "{n: -4}"), 1 + 1);
    assert_eq!(priced(source, "{n: null}"), 1 + DEFAULT_PAGE);

    assert_eq!(priced("{nodes {a}}", "{}"), 1 + 1);
    assert_eq!(priced("{nodes(ids: []) {a}}", "{}"), 1 + 1);
    assert_eq!(priced("{nodes(ids: \"a\") {a}}", "{}"), 1 + 1);
    assert_eq!(priced("{nodes(ids: [\"a\", $b, \"c\"]) {a}}", "{}"), 1 + 3);
    let ids = "query($ids: [ID!]! = [1, 2]) {nodes(ids: $ids) {a}}";
    assert_eq!(priced(ids, "{}"), 1 + 2);
    assert_eq!(priced(ids, "{ids: [1, 2, 3, 4]}"), 1 + 4);
    assert_eq!(priced(ids, "{ids: 1}"), 1 + 1);
    assert_eq!(priced("query($ids: [ID!]!) {nodes(ids: $ids) {a}}", "{}"), 1 + 1);
}

#[test]
fn an_operation_costs_so_much() {
    let limits = Limits::default();
    let fields = |n: usize| parse(&format!("{{friends(first: 100) {{{}}}}}", "a ".repeat(n)));
    let cost_of = |document| cost(&document, None, &Variables::default(), &limits);
    assert_eq!(cost_of(fields(199)), Ok(19_901));
    assert_eq!(cost_of(fields(200)), Err(Refusal::TooCostly { cost: 20_001, limit: 20_000 }));
    let exact = Limits { max_complexity: 9_901, ..Limits::default() };
    assert_eq!(cost(&fields(99), None, &Variables::default(), &exact), Ok(9_901));

    let deep = format!("{}{}", "{messages(first: 100)".repeat(16), "}".repeat(16));
    assert!(matches!(cost_of(parse(&deep)), Err(Refusal::TooCostly { cost: u64::MAX, .. })));
    let inside = format!("{{__schema{{messages{{friends{{a b}}}}}}}} # {deep}");
    assert_eq!(cost_of(parse(&inside)), Ok(5));
}

#[test]
fn every_refusal_is_one_short_line() {
    for refusal in [
        Refusal::TooManyBytes { limit: 1 },
        Refusal::TooManyTokens { limit: 1 },
        Refusal::TooManyBrackets { limit: 1 },
        Refusal::UnterminatedString { line: 1, column: 1 },
        Refusal::LoneSurrogate { line: 1, column: 1 },
        Refusal::UnknownOperation { name: shorten(&"\n".repeat(100)) },
        Refusal::OperationNameMissing,
        Refusal::CircularFragment { name: shorten(&"f".repeat(9_000)) },
        Refusal::TooManyLevels { limit: 1 },
        Refusal::TooDeep { limit: 1 },
        Refusal::TooManySelections { limit: 1 },
        Refusal::TooManyAliases { limit: 1 },
        Refusal::TooManyDirectives { limit: 1 },
        Refusal::TooManyRepeats { limit: 1 },
        Refusal::TooManyRootFields { limit: 1 },
        Refusal::SeveralSignIns { count: 2 },
        Refusal::SubscriptionRoot,
        Refusal::SubscriptionDirectives { name: shorten("include") },
        Refusal::TooMuchIntrospection,
        Refusal::TooCostly { cost: u64::MAX, limit: 1 },
    ] {
        let message = refusal.to_string();
        assert!(message.ends_with('.') && !message.contains('\n') && message.chars().count() < 150, "{message}");
        assert!(refusal.code().chars().all(|char| char.is_ascii_uppercase() || char == '_'));
    }
}

// ------------------------------------------------------------ subscriptions

fn lifted(source: &str) -> (Vec<Positioned<Selection>>, ExecutableDocument) {
    let document = inline_root_fragments(parse(source), None);
    let items = find_operation(&document, None).expect("one operation").selection_set.node.items.clone();
    (items, document)
}

#[test]
fn root_fields_of_subscriptions_are_lifted_out_of_fragments() {
    let source = "subscription { ...F @include(if: $a) }
        fragment F on Subscription { ... on Subscription @skip(if: $b) { ...G } }
        fragment G on Subscription { t: typing(conversationId: $c) @include(if: $a) { ...T user { ...U } } }
        fragment T on TypingEvent { typing } fragment U on User { id }";
    let (items, document) = lifted(source);
    let [Positioned { node: Selection::Field(field), .. }] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(field.node.response_key().node, "t");
    let directives: Vec<_> = field.node.directives.iter().map(|directive| directive.node.name.node.as_str()).collect();
    assert_eq!(directives, ["include", "skip"]);
    let mut fragments: Vec<_> = document.fragments.keys().map(Name::as_str).collect();
    fragments.sort_unstable();
    assert_eq!(fragments, ["T", "U"]);
    let used: Vec<_> = variables_used_below_root(&document, None).into_iter().collect();
    assert_eq!(used, ["a", "b"]);
}

#[test]
fn what_cannot_be_lifted_stays() {
    for source in [
        "{ ...F } fragment F on Query { id }",
        "mutation { ...F } fragment F on Mutation { id }",
        "subscription { ...F } fragment F on Query { id }",
        "subscription { ... on Query { id } }",
        "subscription { ...F }",
        "subscription { ... @skip(if: $a) { id @skip(if: $b) } }",
    ] {
        let (items, document) = lifted(source);
        assert!(!matches!(items[0].node, Selection::Field(_)), "{source}");
        assert_eq!(document.fragments.len(), parse(source).fragments.len());
    }
    let (items, _) = lifted("subscription { typing { ...F } } fragment F on TypingEvent { typing }");
    assert!(matches!(items[0].node, Selection::Field(_)));
    let unknown = inline_root_fragments(parse("subscription a { ... { id } }"), Some("b"));
    assert_eq!(unknown.fragments.len(), 0);
}

#[test]
fn fragments_that_others_use_are_kept() {
    let source = "subscription a { ...F } subscription b { ...F } fragment F on Subscription { ...G }
        fragment G on Subscription { typing { typing } } fragment Unused on Subscription { typing { typing } }";
    let document = inline_root_fragments(parse(source), Some("a"));
    assert_eq!(document.fragments.len(), 3);
    let document = inline_root_fragments(document, Some("b"));
    assert_eq!(document.fragments.keys().map(Name::as_str).collect::<Vec<_>>(), ["Unused"]);
}

#[test]
fn variables_are_found_wherever_they_are_below_the_root() {
    let source = "subscription($root: ID!, $op: X) @x(a: $op) {
          ...F @include(if: $spread)
        }
        fragment F on Subscription {
          events(after: $root, other: {a: [$nested]}) @skip(if: $field) {
            a(b: $below) ... @x(a: {b: [1, $inline]}) { c(d: [{e: $deep}]) } ...G
          }
        }
        fragment G on X @y(a: $definition) { messages(first: $page) { id } ...G }";
    let used: Vec<_> = variables_used_below_root(&parse(source), None).into_iter().collect();
    assert_eq!(used, ["below", "deep", "definition", "field", "inline", "op", "page", "spread"]);
    let both = "subscription { ...F a { ...F } } fragment F on X { b(c: $d) { e } }";
    assert_eq!(variables_used_below_root(&parse(both), None), BTreeSet::from(["d".to_owned()]));
    assert!(variables_used_below_root(&parse(both), Some("unknown")).is_empty());
}

#[test]
fn the_library_takes_the_document() {
    let mut request = Request::new("");
    request.set_parsed_query(inline_root_fragments(parse("subscription { ... { a } }"), None));
    assert!(request.parsed_query().is_ok());
}

// ------------------------------------------------------------ properties

/// A selection, described apart from its syntax tree.
#[derive(Debug, Clone)]
enum Item {
    Field {
        name: usize,
        alias: bool,
        page: Page,
        directive: bool,
        below: Vec<Item>,
    },
    /// Of one of the fragments that come later, if any does.
    Spread(usize),
    Inline(Vec<Item>),
}

#[derive(Debug, Clone, Copy)]
enum Page {
    Open,
    First(i64),
    Last(i64),
    Given,
    Default,
    Missing,
    Ids(usize),
}

const NAMES: [&str; 7] = ["id", "viewer", "messages", "friends", "nodes", "__schema", "__typename"];
const HEADER: &str = "query Q($given: Int = 3, $default: Int = 8, $missing: Int) ";
const VARIABLES: &str = "{given: 6}";

fn items() -> impl Strategy<Value = Vec<Item>> {
    let page = prop_oneof![
        4 => Just(Page::Open),
        1 => (-3..130_i64).prop_map(Page::First),
        1 => (-3..130_i64).prop_map(Page::Last),
        1 => prop_oneof![Just(Page::Given), Just(Page::Default), Just(Page::Missing)],
        1 => (0..4_usize).prop_map(Page::Ids),
    ];
    let field = move |below: BoxedStrategy<Vec<Item>>| {
        (0..NAMES.len(), any::<bool>(), page.clone(), any::<bool>(), below)
            .prop_map(|(name, alias, page, directive, below)| Item::Field { name, alias, page, directive, below })
    };
    let leaf = prop_oneof![field(Just(Vec::new()).boxed()), (0..9_usize).prop_map(Item::Spread)];
    let item = leaf.prop_recursive(4, 24, 4, move |item| {
        let below = prop::collection::vec(item, 1..4).boxed();
        prop_oneof![3 => field(below.clone()), 1 => below.prop_map(Item::Inline)]
    });
    prop::collection::vec(item, 1..4)
}

/// Which fragment a spread in set number `set` means: sets are numbered from 0, the operation, on.
fn target(set: usize, wish: usize, n_sets: usize) -> Option<usize> {
    let n_later = n_sets - set - 1;
    (n_later > 0).then(|| set + 1 + wish % n_later)
}

fn render(items: &[Item], set: usize, n_sets: usize, source: &mut String) {
    source.push('{');
    for item in items {
        match item {
            Item::Field { name, alias, page, directive, below } => {
                let alias = if *alias { "x: " } else { "" };
                let arguments = match page {
                    Page::Open => String::new(),
                    Page::First(size) => format!("(first: {size})"),
                    Page::Last(size) => format!("(last: {size})"),
                    Page::Given => "(first: $given)".to_owned(),
                    Page::Default => "(last: $default)".to_owned(),
                    Page::Missing => "(first: $missing)".to_owned(),
                    Page::Ids(length) => format!("(ids: [{}])", "1 ".repeat(*length)),
                };
                let directive = if *directive { "@x" } else { "" };
                write!(source, " {alias}{}{arguments} {directive}", NAMES[*name]).expect("writing to a string");
                if !below.is_empty() {
                    render(below, set, n_sets, source);
                }
            }
            Item::Spread(wish) => match target(set, *wish, n_sets) {
                Some(fragment) => write!(source, " ...F{fragment}").expect("writing to a string"),
                None => source.push_str(" id"),
            },
            Item::Inline(below) => {
                source.push_str(" ...");
                render(below, set, n_sets, source);
            }
        }
    }
    source.push('}');
}

/// What the walks should find, by expanding everything and multiplying from the top.
#[derive(Debug, Default, PartialEq)]
struct Expanded {
    cost: u128,
    selections: u64,
    aliases: u64,
    directives: u64,
    depth: usize,
    introspection_depth: usize,
    levels: usize,
}

#[derive(Clone, Copy)]
struct Place {
    times: u128,
    introspects: bool,
    depth: usize,
    level: usize,
}

fn expand(sets: &[Vec<Item>], items: &[Item], set: usize, place: Place, sum: &mut Expanded) {
    sum.levels = sum.levels.max(place.level);
    for item in items {
        let inner = Place { level: place.level + 1, ..place };
        match item {
            Item::Field { name, alias, page, directive, below } => {
                let name = NAMES[*name];
                let introspects = place.introspects || name == "__schema";
                let connection = matches!(name, "messages" | "friends");
                let size: i64 = match page {
                    Page::Ids(length) if name == "nodes" => (*length).try_into().expect("small"),
                    Page::Open | Page::Ids(_) if connection => DEFAULT_PAGE as i64,
                    Page::Open | Page::Ids(_) => 1,
                    Page::First(size) | Page::Last(size) => (*size).min(100),
                    Page::Given => 6,
                    Page::Default => 8,
                    Page::Missing => DEFAULT_PAGE as i64,
                };
                let size: u128 = size.max(1).try_into().expect("positive");
                let times = if introspects { place.times } else { place.times * size };
                let depth = place.depth + 1;
                sum.cost += place.times;
                sum.selections += 1;
                sum.aliases += u64::from(*alias);
                sum.directives += u64::from(*directive);
                if introspects {
                    sum.introspection_depth = sum.introspection_depth.max(depth);
                }
                if !place.introspects {
                    sum.depth = sum.depth.max(depth);
                }
                if !below.is_empty() {
                    expand(sets, below, set, Place { times, introspects, depth, ..inner }, sum);
                }
            }
            Item::Spread(wish) => match target(set, *wish, sets.len()) {
                Some(fragment) => expand(sets, &sets[fragment], fragment, inner, sum),
                None => {
                    let depth = place.depth + 1;
                    sum.cost += place.times;
                    sum.selections += 1;
                    if place.introspects {
                        sum.introspection_depth = sum.introspection_depth.max(depth);
                    } else {
                        sum.depth = sum.depth.max(depth);
                    }
                }
            },
            Item::Inline(below) => expand(sets, below, set, inner, sum),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn walks_with_a_memo_find_what_expansion_finds(sets in prop::collection::vec(items(), 1..5)) {
        let mut source = HEADER.to_owned();
        for (set, items) in sets.iter().enumerate() {
            if set > 0 {
                write!(source, " fragment F{set} on X ").expect("writing to a string");
            }
            render(items, set, sets.len(), &mut source);
        }
        let mut expanded = Expanded::default();
        let top = Place { times: 1, introspects: false, depth: 0, level: 0 };
        expand(&sets, &sets[0], 0, top, &mut expanded);

        let document = parse(&source);
        let operation = find_operation(&document, None).expect("one operation");
        let mut survey = Survey { document: &document, fragments: HashMap::new() };
        let facts = survey.operation(operation).expect("few levels");
        let unlimited = Limits { max_complexity: u64::MAX, ..Limits::default() };
        let (cost, visited) = visits(|| cost(&document, None, &variables_of(VARIABLES), &unlimited));
        let found = Expanded {
            cost: u128::from(cost.expect("no limit")),
            selections: facts.selections,
            aliases: facts.aliases,
            directives: facts.directives,
            depth: facts.depth,
            introspection_depth: facts.introspection_depth,
            levels: facts.levels,
        };
        prop_assert!(visited <= written(&document));
        prop_assert_eq!(found, expanded, "{}", source);
    }

    #[test]
    fn any_text_is_scanned_to_its_end(source in "([{}()\\[\\]\"\\\\#.,$@!:a0-9é👩\0\r\n -]|\"\"\"|\\.\\.\\.){0,60}") {
        let tokens: Vec<Token> = Lexer::new(&source).collect();
        let mut end = 0;
        for token in &tokens {
            prop_assert!(end <= token.start && token.start < token.end && token.end <= source.len());
            prop_assert!(source.is_char_boundary(token.start) && source.is_char_boundary(token.end));
            end = token.end;
        }
        let wide = Limits { max_tokens: usize::MAX, ..Limits::default() };
        let too_many = matches!(check_source(&source, &wide), Err(Refusal::TooManyTokens { .. }));
        prop_assert!(!too_many);
    }

    #[test]
    fn every_string_that_the_parser_accepts_is_one_token(text in "([a{}\\[\\]()#é👩\0 ]|\\\\\"|\\\\n|\\\\\\\\){0,20}") {
        for source in [format!("{{a(b:\"{text}\")}}"), format!("{{a(b:\"\"\"{text} \"\"\")}}")] {
            if parse_query(&source).is_ok() {
                prop_assert_eq!(measure_source(&source, &Limits::default()), Ok(8), "{}", source);
            }
        }
    }
}
