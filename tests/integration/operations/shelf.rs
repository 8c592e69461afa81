//! What lies on the shelf: `playground/operations/<slice>/<number>-<name>.graphql`, with variables in a `.json` beside it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use async_graphql::parser::{
    parse_query,
    types::{DocumentOperations, OperationType, Selection},
};
use serde_json::{Value, json};

/// Stands in the variables where something of the reader's own belongs: `conv_…`.
pub const PLACEHOLDER: char = '…';

pub struct Operation {
    /// `messages/send-message`
    pub path: String,
    /// `SendMessage`
    pub name: String,
    pub kind: OperationType,
    /// The fields of `Query`, `Mutation` or `Subscription` that it uses.
    pub roots: Vec<String>,
    /// The variables that it declares.
    pub declared: BTreeSet<String>,
    pub text: String,
    /// As they lie in the file, with their placeholders; empty without one.
    pub variables: Value,
}

impl Operation {
    fn read(folder: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("it can be read");
        let relative = file.strip_prefix(folder).expect("it lies there").with_extension("");
        let (slice, name) = relative.to_str().expect("UTF-8").split_once('/').expect("operations lie in slices");
        let (number, name) = name.split_once('-').expect("a number and a name");
        assert!(number.parse::<u8>().is_ok(), "{} has no number", file.display());
        let path = format!("{slice}/{name}");
        let document = parse_query(&text).unwrap_or_else(|error| panic!("{path} does not parse: {error}"));
        let DocumentOperations::Multiple(mut operations) = document.operations else {
            panic!("the operation in {path} has no name")
        };
        assert_eq!(operations.len(), 1, "{path} holds one operation");
        let (name, operation) = operations.drain().next().expect("there is one");
        let operation = operation.node;
        let roots = operation.selection_set.node.items.iter().map(|item| match &item.node {
            Selection::Field(field) => field.node.name.node.to_string(),
            _ => panic!("{path} has a fragment at its root"),
        });
        let variables = match fs::read_to_string(file.with_extension("json")) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| panic!("the variables of {path}: {error}")),
            Err(_) => json!({}),
        };
        Self {
            name: name.to_string(),
            kind: operation.ty,
            roots: roots.collect(),
            declared: operation.variable_definitions.iter().map(|it| it.node.name.node.to_string()).collect(),
            text,
            variables,
            path,
        }
    }

    /// The comment at its head, in one line: what it does, `Needs: …`, `Next: …`.
    pub fn explanation(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix('#'));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

/// All of them, in order.
pub fn operations() -> Vec<Operation> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playground/operations");
    let mut files: Vec<PathBuf> = entries(&folder).iter().flat_map(|slice| entries(slice)).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "graphql"));
    files.sort();
    files.iter().map(|file| Operation::read(&folder, file)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}
