//! The root of a subscription, and what its subscribers can share.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
};

use async_graphql::{
    Name, Positioned, Value,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
    },
};

use super::{MAX_NESTING, find_operation, visited};

/// Lifts the root field of a subscription out of fragments, where the library would drop it without a word.
///
/// Directives on the spreads and inline fragments are copied to the field. Fragments that no operation uses any more
/// are removed, for validation would refuse them. The document comes back as it was when the operation is no
/// subscription, has only plain fields, is unknown, or when a fragment is unknown, is on another type than
/// `Subscription` or cannot be lifted: validation has the word then. Expects an inspected document.
#[must_use]
pub fn inline_root_fragments(mut document: ExecutableDocument, operation_name: Option<&str>) -> ExecutableDocument {
    let Ok(operation) = find_operation(&document, operation_name) else {
        return document;
    };
    let items = &operation.selection_set.node.items;
    if operation.ty != OperationType::Subscription || items.iter().all(|item| matches!(item.node, Selection::Field(_)))
    {
        return document;
    }
    let Ok(lifted) = lift_root(&document, operation) else {
        return document;
    };

    let used_before = fragments_reached(&document, std::iter::once(operation));
    let used_before: Vec<Name> = used_before.into_iter().cloned().collect();
    if let Some(operation) = find_operation_mut(&mut document, operation_name) {
        operation.selection_set.node.items = lifted;
    }
    let used_after = fragments_reached(&document, document.operations.iter().map(|(_, operation)| &operation.node));
    let unused: Vec<Name> = used_before.into_iter().filter(|name| !used_after.contains(name)).collect();
    for name in unused {
        document.fragments.remove(&name);
    }
    document
}

/// Names of the variables that an operation uses anywhere but in the arguments of its root fields, fragments followed;
/// the root field's directives count as use. Two subscriptions of one document whose values for these are equal select
/// the same of every event. Empty for an unknown operation.
#[must_use]
pub fn variables_used_below_root(document: &ExecutableDocument, operation_name: Option<&str>) -> BTreeSet<String> {
    let mut uses = VariableUses { document, names: BTreeSet::new(), visited: HashSet::new() };
    if let Ok(operation) = find_operation(document, operation_name) {
        uses.directives(&operation.directives);
        uses.selection_set(&operation.selection_set.node, true);
    }
    uses.names
}

/// Why a subscription's root field stays where it is.
#[derive(Debug)]
pub(super) enum Unliftable {
    /// A fragment that is unknown, on another type, or in a circle; or more fields than anybody would ask for.
    Fragment,
    /// A directive that would stand on the field twice with different arguments.
    Directives(String),
}

/// The root selections as plain fields with the directives of the fragments around them.
pub(super) fn lift_root(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
) -> Result<Vec<Positioned<Selection>>, Unliftable> {
    let mut lifted = Vec::new();
    lift(document, &operation.selection_set.node, &[], 0, &mut lifted)?;
    Ok(lifted)
}

fn lift(
    document: &ExecutableDocument,
    set: &SelectionSet,
    around: &[Positioned<Directive>],
    level: usize,
    lifted: &mut Vec<Positioned<Selection>>,
) -> Result<(), Unliftable> {
    /// An inspected subscription has one root field, beside any `__typename` that validation refuses.
    const MAX_FIELDS: usize = 64;
    if level > MAX_NESTING || lifted.len() > MAX_FIELDS {
        return Err(Unliftable::Fragment);
    }
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => {
                let mut field = field.clone();
                field.node.directives = gather_directives(around, &field.node.directives)?;
                lifted.push(Positioned::new(Selection::Field(field), item.pos));
            }
            Selection::InlineFragment(fragment) => {
                if fragment.node.type_condition.as_ref().is_some_and(|on| on.node.on.node != "Subscription") {
                    return Err(Unliftable::Fragment);
                }
                let directives = gather_directives(around, &fragment.node.directives)?;
                lift(document, &fragment.node.selection_set.node, &directives, level + 1, lifted)?;
            }
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node).ok_or(Unliftable::Fragment)?;
                if fragment.node.type_condition.node.on.node != "Subscription" {
                    return Err(Unliftable::Fragment);
                }
                let directives = gather_directives(around, &spread.node.directives)?;
                lift(document, &fragment.node.selection_set.node, &directives, level + 1, lifted)?;
            }
        }
    }
    Ok(())
}

/// The directives of a selection with those around it. The same one with the same arguments stands once: a field may
/// not carry it twice, and asking twice asks no more.
fn gather_directives(
    around: &[Positioned<Directive>],
    own: &[Positioned<Directive>],
) -> Result<Vec<Positioned<Directive>>, Unliftable> {
    let mut gathered = own.to_vec();
    for directive in around {
        let same = own.iter().find(|own| own.node.name.node == directive.node.name.node);
        match same {
            None => gathered.push(directive.clone()),
            Some(same) if same.node.arguments == directive.node.arguments => {}
            Some(_) => return Err(Unliftable::Directives(directive.node.name.node.to_string())),
        }
    }
    Ok(gathered)
}

/// Names of all fragments that the operations use, directly or through others.
fn fragments_reached<'a>(
    document: &'a ExecutableDocument,
    operations: impl Iterator<Item = &'a OperationDefinition>,
) -> HashSet<&'a Name> {
    let mut reached = HashSet::new();
    let mut waiting: Vec<&SelectionSet> = operations.map(|operation| &operation.selection_set.node).collect();
    while let Some(set) = waiting.pop() {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => waiting.push(&field.node.selection_set.node),
                Selection::InlineFragment(fragment) => waiting.push(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    if let Some((name, fragment)) = document.fragments.get_key_value(&spread.node.fragment_name.node)
                        && reached.insert(name)
                    {
                        waiting.push(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
    reached
}

struct VariableUses<'a> {
    document: &'a ExecutableDocument,
    names: BTreeSet<String>,
    /// Fragments already followed, and whether at the root: a fragment may be used in both places.
    visited: HashSet<(&'a str, bool)>,
}

impl<'a> VariableUses<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet, at_root: bool) {
        for item in &set.items {
            visited();
            self.directives(item.node.directives());
            match &item.node {
                Selection::Field(field) => {
                    if !at_root {
                        for (_, value) in &field.node.arguments {
                            let Ok(_) = value.node.clone().into_const_with(|name| self.note(&name));
                        }
                    }
                    self.selection_set(&field.node.selection_set.node, false);
                }
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node, at_root);
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.visited.insert((name, at_root))
                    {
                        self.directives(&fragment.node.directives);
                        self.selection_set(&fragment.node.selection_set.node, at_root);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) {
        for directive in directives {
            for (_, value) in &directive.node.arguments {
                let Ok(_) = value.node.clone().into_const_with(|name| self.note(&name));
            }
        }
    }

    fn note(&mut self, name: &Name) -> Result<Value, Infallible> {
        if !self.names.contains(name.as_str()) {
            self.names.insert(name.to_string());
        }
        Ok(Value::Null)
    }
}

/// As [`find_operation`], to change it.
fn find_operation_mut<'a>(
    document: &'a mut ExecutableDocument,
    operation_name: Option<&str>,
) -> Option<&'a mut OperationDefinition> {
    let operation = match (&mut document.operations, operation_name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get_mut(name),
        (DocumentOperations::Multiple(operations), None) => operations.values_mut().next(),
    };
    operation.map(|operation| &mut operation.node)
}
