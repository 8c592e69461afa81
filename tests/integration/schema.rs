//! The schema: what is committed, what is served, what was promised.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use async_graphql::parser::{
    parse_schema,
    types::{FieldDefinition, InputValueDefinition, TypeKind, TypeSystemDefinition},
};

use crate::{sqlite_story, support::*};

/// The committed `schema.graphql`.
pub fn committed() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    std::fs::read_to_string(path).expect("schema.graphql is committed: `kith schema > schema.graphql`")
}

pub fn committed_shape() -> Shape {
    Shape::of(&committed())
}

/// A schema as a list of facts: `Query.nodes` → `(ids: [ID!]!): [Node]!`.
#[derive(Debug, Default)]
pub struct Shape {
    facts: BTreeMap<String, String>,
    inputs: BTreeSet<String>,
    undescribed: Vec<String>,
}

impl Shape {
    pub fn of(sdl: &str) -> Self {
        let mut shape = Self::default();
        let document = parse_schema(sdl).unwrap_or_else(|error| panic!("the schema does not parse: {error}"));
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let definition = definition.node;
            let name = definition.name.node.to_string();
            shape.describe(&name, definition.description.is_some());
            match definition.kind {
                TypeKind::Scalar => shape.add(name, "scalar".into()),
                TypeKind::Object(object) => {
                    for interface in object.implements {
                        shape.add(format!("{name} implements {}", interface.node), String::new());
                    }
                    object.fields.iter().for_each(|field| shape.add_field(&name, &field.node));
                }
                TypeKind::Interface(interface) => {
                    for other in interface.implements {
                        shape.add(format!("{name} implements {}", other.node), String::new());
                    }
                    interface.fields.iter().for_each(|field| shape.add_field(&name, &field.node));
                }
                TypeKind::Union(union) => {
                    for member in union.members {
                        shape.add(format!("{name} | {}", member.node), String::new());
                    }
                }
                TypeKind::Enum(values) => {
                    for value in values.values {
                        let value = value.node;
                        let key = format!("{name} = {}", value.value.node);
                        shape.describe(&key, value.description.is_some());
                        shape.add(key, String::new());
                    }
                }
                TypeKind::InputObject(input) => {
                    shape.inputs.insert(name.clone());
                    let one_of = definition.directives.iter().any(|directive| directive.node.name.node == "oneOf");
                    shape.add(format!("{name} @oneOf"), one_of.to_string());
                    for field in input.fields {
                        let key = format!("{name}.{}", field.node.name.node);
                        shape.describe(&key, field.node.description.is_some());
                        shape.add(key, type_of(&field.node));
                    }
                }
            }
        }
        shape
    }

    pub fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    /// The names of a type's fields.
    pub fn fields_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{name}.");
        self.facts.keys().filter_map(move |key| key.strip_prefix(&prefix))
    }

    /// Every field that something is read from, as `Type.field`.
    pub fn output_fields(&self) -> impl Iterator<Item = &String> {
        self.facts.keys().filter(|key| key.split_once('.').is_some_and(|(name, _)| !self.inputs.contains(name)))
    }

    fn add_field(&mut self, name: &str, field: &FieldDefinition) {
        let key = format!("{name}.{}", field.name.node);
        self.describe(&key, field.description.is_some());
        let mut arguments = Vec::new();
        for argument in &field.arguments {
            self.describe(&format!("{key}({})", argument.node.name.node), argument.node.description.is_some());
            arguments.push(format!("{}: {}", argument.node.name.node, type_of(&argument.node)));
        }
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        self.add(key, format!("{arguments}: {}", field.ty.node));
    }

    fn add(&mut self, key: String, value: String) {
        self.facts.insert(key, value);
    }

    fn describe(&mut self, key: &str, is_described: bool) {
        if !is_described {
            self.undescribed.push(key.to_owned());
        }
    }
}

fn type_of(input: &InputValueDefinition) -> String {
    match &input.default_value {
        Some(value) => format!("{} = {}", input.ty.node, value.node),
        None => input.ty.node.to_string(),
    }
}

sqlite_story!(the_committed_schema_is_the_one_of_the_program, |world| async {
    let output = world.kith(&["schema"], Options::default()).await;
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        printed == committed(),
        "schema.graphql is not what `kith schema` prints: run `kith schema > schema.graphql`"
    );
    let server = world.server().await;
    assert_eq!(server.anonymous().get("/schema.graphql").await.text, printed, "and it is what the server shows");
});

#[test]
fn everything_in_the_schema_is_explained() {
    let undescribed = committed_shape().undescribed;
    assert!(undescribed.is_empty(), "without a description: {}", undescribed.join(", "));
}

/// What clients were promised of the core before it was built, and what may not change under them.
const PROMISES: &str = include_str!("promises.txt");

#[test]
fn what_was_promised_is_there_as_it_was_promised() {
    let shape = committed_shape();
    let mut broken = Vec::new();
    for line in PROMISES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_at(line.find(['(', ':']).unwrap_or(line.len()));
        match shape.facts.get(key) {
            Some(actual) if actual == value || (value.strip_prefix(": ") == Some(actual)) => {}
            Some(actual) => broken.push(format!("{line}\n    is {key}{actual}")),
            None => broken.push(format!("{line}\n    is missing")),
        }
    }
    assert!(broken.is_empty(), "{} promises are broken:\n{}", broken.len(), broken.join("\n"));
}
