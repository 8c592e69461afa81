//! What one request may cost.

use std::{collections::HashMap, convert::Infallible};

use async_graphql::{
    Name, Positioned, Value, Variables,
    parser::types::{ExecutableDocument, Field, Selection, SelectionSet, VariableDefinition},
};

use super::{Limits, Refusal, check_level, find_operation, is_introspection, shorten, visited};

/// Items that a connection returns when the client says neither `first` nor `last`.
pub const DEFAULT_PAGE: u64 = crate::graphql::pagination::DEFAULT_PAGE_SIZE;

/// The largest page that a connection returns; a larger `first` or `last` is priced as this.
pub const MAX_PAGE: u64 = crate::graphql::pagination::MAX_PAGE_SIZE;

/// Fields that return a page of items although the client may not have said how many.
pub(super) const CONNECTIONS: [&str; 10] = [
    "blockedUsers",
    "conversations",
    "friends",
    "inviteLinks",
    "invites",
    "members",
    "messages",
    "readBy",
    "searchMessages",
    "searchUsers",
];

/// The price of one operation: each field counts 1, and what is below a page counts as often as the page has items.
///
/// A page is a field with a `first` or `last` (both: the larger), priced as at least 1 and at most [`MAX_PAGE`]; a known
/// connection with neither is [`DEFAULT_PAGE`]; `nodes(ids:)` and `_entities(representations:)` count theirs. Variables are followed, their defaults
/// respected. Whether the argument is valid is not asked. What is below `__schema` and `__type` counts 1 each.
/// `@skip` and `@include` are not believed: the price is an upper bound.
///
/// # Errors
/// [`Refusal::TooCostly`] over [`Limits::max_complexity`]; or as [`super::inspect`] where the document was not inspected.
pub fn cost(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
    limits: &Limits,
) -> Result<u64, Refusal> {
    let operation = find_operation(document, operation_name)?;
    let mut pricing =
        Pricing { document, variables, definitions: &operation.variable_definitions, fragments: HashMap::new() };
    let cost = pricing.selection_set(&operation.selection_set.node, 0)?.paged;
    if cost > limits.max_complexity {
        return Err(Refusal::TooCostly { cost, limit: limits.max_complexity });
    }
    Ok(cost)
}

/// The price of a selection set, in both places where it may stand.
#[derive(Debug, Clone, Copy, Default)]
struct Price {
    /// Outside introspection: pages multiply.
    paged: u64,
    /// Inside introspection: each field counts 1.
    plain: u64,
}

/// Prices each fragment once. That is enough because a price is linear: below a page of `n` it is `n` times the same.
struct Pricing<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    definitions: &'a [Positioned<VariableDefinition>],
    fragments: HashMap<&'a str, Option<Price>>,
}

impl<'a> Pricing<'a> {
    fn fragment(&mut self, name: &'a str, level: usize) -> Result<Price, Refusal> {
        match self.fragments.get(name) {
            Some(Some(price)) => return Ok(*price),
            Some(None) => return Err(Refusal::CircularFragment { name: shorten(name) }),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Price::default());
        };
        self.fragments.insert(name, None);
        let price = self.selection_set(&fragment.node.selection_set.node, level)?;
        self.fragments.insert(name, Some(price));
        Ok(price)
    }

    fn selection_set(&mut self, set: &'a SelectionSet, level: usize) -> Result<Price, Refusal> {
        check_level(level)?;
        let mut sum = Price::default();
        for item in &set.items {
            visited();
            let price = match &item.node {
                Selection::Field(field) => {
                    let below = self.selection_set(&field.node.selection_set.node, level + 1)?;
                    let plain = below.plain.saturating_add(1);
                    let paged = if is_introspection(&field.node.name.node) {
                        plain
                    } else {
                        below.paged.saturating_mul(self.page(&field.node)).saturating_add(1)
                    };
                    Price { paged, plain }
                }
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, level + 1)?,
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node, level + 1)?
                }
            };
            sum.paged = sum.paged.saturating_add(price.paged);
            sum.plain = sum.plain.saturating_add(price.plain);
        }
        Ok(sum)
    }

    /// How many items are below the field.
    fn page(&self, field: &Field) -> u64 {
        let name = field.name.node.as_str();
        let list = match name {
            "nodes" => self.argument(field, "ids"),
            "_entities" => self.argument(field, "representations"),
            _ => None,
        };
        if let Some(ids) = list {
            // Anything but a list stands for a list of one.
            return if let Argument::List(length) = ids { length.max(1) } else { 1 };
        }
        let (first, last) = (self.argument(field, "first"), self.argument(field, "last"));
        if first.is_none() && last.is_none() {
            return if CONNECTIONS.contains(&name) { DEFAULT_PAGE } else { 1 };
        }
        let sizes = [first, last].into_iter().flatten().filter_map(|argument| match argument {
            Argument::Null => None,
            Argument::Number(size) => Some(u64::try_from(size).unwrap_or(1).clamp(1, MAX_PAGE)),
            // Validation refuses it, and until then it is dear.
            Argument::List(_) | Argument::Other => Some(MAX_PAGE),
        });
        sizes.max().unwrap_or(DEFAULT_PAGE)
    }

    fn argument(&self, field: &Field, name: &str) -> Option<Argument> {
        // The library does not export the type of values with variables, only this way through one. The variable's
        // value is looked at where it is, for it can be long.
        let mut given_by_variable = None;
        let literal = field.get_argument(name)?.node.clone().into_const_with(|name| {
            given_by_variable = Some(self.variable(&name).map_or(Argument::Null, Argument::of));
            Ok::<_, Infallible>(Value::Null)
        });
        let Ok(literal) = literal;
        Some(match Argument::of(&literal) {
            Argument::Null => given_by_variable.unwrap_or(Argument::Null),
            given => given,
        })
    }

    fn variable(&self, name: &Name) -> Option<&'a Value> {
        let default = || {
            let definition = self.definitions.iter().find(|definition| definition.node.name.node == *name)?;
            definition.node.default_value.as_ref().map(|value| &value.node)
        };
        self.variables.get(name).or_else(default)
    }
}

/// As much of an argument's value as a price needs.
#[derive(Debug, Clone, Copy)]
enum Argument {
    /// Also a variable with neither value nor default.
    Null,
    /// Cut to the range of `i64`.
    Number(i64),
    /// Its length.
    List(u64),
    Other,
}

impl Argument {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Number(number) if number.is_f64() => Self::Other,
            Value::Number(number) => Self::Number(number.as_i64().unwrap_or(i64::MAX)),
            Value::List(items) => Self::List(u64::try_from(items.len()).unwrap_or(u64::MAX)),
            _ => Self::Other,
        }
    }
}
