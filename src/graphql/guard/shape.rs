//! What a document is like, whatever its variables are.

use std::collections::HashMap;

use async_graphql::{
    Positioned,
    parser::types::{
        Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
    },
};

use super::{
    Limits, MAX_INTROSPECTION_DEPTH, MAX_NESTING, Refusal, SIGN_IN_FIELDS, check_level, fragments_in_order,
    is_introspection, operations_in_order, shorten,
    subscriptions::{Unliftable, lift_root},
    visited,
};

/// What is known of one operation without its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its name; none for the one anonymous operation of a document.
    pub name: Option<String>,
    /// Query, mutation or subscription.
    pub kind: OperationType,
    /// Schema names (not aliases) of the root fields after expansion, in order, repeats kept, `__typename` left out.
    pub root_fields: Vec<String>,
    /// How many root fields are among [`SIGN_IN_FIELDS`]: 0 or 1, and 0 for everything but mutations.
    pub sign_in_fields: u64,
    /// Fields after expansion of fragments.
    pub selections: u64,
    /// Aliased fields after expansion.
    pub aliases: u64,
    /// Directives after expansion.
    pub directives: u64,
    /// Fields within one another, introspection left out.
    pub depth: usize,
    /// Whether it asks for `__schema` or `__type` anywhere.
    pub introspects: bool,
}

/// Static facts of the operation that the request means. All operations and fragments of the document must keep the
/// limits, the unused ones too, because validation visits them all.
///
/// # Errors
/// The first limit that is broken, a circle of fragments, or a name that fits no operation.
pub fn inspect(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    limits: &Limits,
) -> Result<Outline, Refusal> {
    let outlines = inspect_all(document, limits)?;
    select_outline(&outlines, operation_name).cloned()
}

/// Static facts of every operation of the document, in the order of the text. Depends on nothing but the document, so
/// that it can be kept with it.
///
/// # Errors
/// As [`inspect`], but for the name.
pub fn inspect_all(document: &ExecutableDocument, limits: &Limits) -> Result<Vec<Outline>, Refusal> {
    let mut survey = Survey { document, fragments: HashMap::new() };
    let mut operations = Vec::new();
    for (name, operation) in operations_in_order(document) {
        operations.push((name, operation, survey.operation(operation)?));
    }
    let mut fragments = Vec::new();
    for name in fragments_in_order(document) {
        fragments.push(survey.fragment(name, 1)?);
    }

    // First of all, so that whoever counts attempts learns of them even where another limit is broken as well.
    for (_, operation, facts) in &operations {
        if operation.ty == OperationType::Mutation && facts.sign_in_fields > 1 {
            return Err(Refusal::SeveralSignIns { count: facts.sign_in_fields });
        }
    }
    for facts in operations.iter().map(|(_, _, facts)| facts).chain(&fragments) {
        facts.check(limits)?;
    }
    let n_selections = operations.iter().fold(0_u64, |sum, (_, _, facts)| sum.saturating_add(facts.selections));
    if exceeds(n_selections, limits.max_selections) {
        return Err(Refusal::TooManySelections { limit: limits.max_selections });
    }
    for (_, operation, facts) in &operations {
        check_root(document, operation, facts, limits)?;
    }
    Repeats::check(document, limits)?;

    Ok(operations
        .into_iter()
        .map(|(name, operation, facts)| Outline {
            name: name.map(ToString::to_string),
            kind: operation.ty,
            root_fields: root_fields(document, operation),
            sign_in_fields: if operation.ty == OperationType::Mutation { facts.sign_in_fields } else { 0 },
            selections: facts.selections,
            aliases: facts.aliases,
            directives: facts.directives,
            depth: facts.depth,
            introspects: facts.introspection > 0,
        })
        .collect())
}

/// The outline that a request's `operationName` means, by the rule of the specification.
///
/// # Errors
/// A name that fits no operation, or none where there are several.
pub fn select_outline<'a>(outlines: &'a [Outline], operation_name: Option<&str>) -> Result<&'a Outline, Refusal> {
    match (operation_name, outlines) {
        (Some(name), _) => outlines
            .iter()
            .find(|outline| outline.name.as_deref() == Some(name))
            .ok_or_else(|| Refusal::UnknownOperation { name: shorten(name) }),
        (None, [outline]) => Ok(outline),
        (None, _) => Err(Refusal::OperationNameMissing),
    }
}

/// The directives that a document may use. The library overlooks unknown ones on `__typename`.
const DIRECTIVES: [&str; 2] = ["include", "skip"];

/// Whether a document uses directives that exist. Expects an inspected document.
///
/// # Errors
/// The first that does not exist, in the order of the text.
pub fn check_directive_names(document: &ExecutableDocument) -> Result<(), Refusal> {
    fn check(directives: &[Positioned<Directive>]) -> Result<(), Refusal> {
        let mut names = directives.iter().map(|directive| directive.node.name.node.as_str());
        match names.find(|name| !DIRECTIVES.contains(name)) {
            Some(name) => Err(Refusal::UnknownDirective { name: shorten(name) }),
            None => Ok(()),
        }
    }
    fn walk(selections: &SelectionSet) -> Result<(), Refusal> {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    check(&field.node.directives)?;
                    walk(&field.node.selection_set.node)?;
                }
                Selection::FragmentSpread(spread) => check(&spread.node.directives)?,
                Selection::InlineFragment(fragment) => {
                    check(&fragment.node.directives)?;
                    walk(&fragment.node.selection_set.node)?;
                }
            }
        }
        Ok(())
    }
    for (_, operation) in operations_in_order(document) {
        check(&operation.directives)?;
        walk(&operation.selection_set.node)?;
    }
    for name in fragments_in_order(document) {
        if let Some(fragment) = document.fragments.get(name) {
            check(&fragment.node.directives)?;
            walk(&fragment.node.selection_set.node)?;
        }
    }
    Ok(())
}

/// Measures of a selection set with all below it, fragments expanded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) selections: u64,
    pub(super) aliases: u64,
    pub(super) directives: u64,
    /// The longest way down that passes no `__schema` or `__type`, these two themselves included.
    pub(super) depth: usize,
    /// The longest way down through `__schema` or `__type`, counted from the top of the set.
    pub(super) introspection_depth: usize,
    /// Selection sets below this one, the longest way.
    pub(super) levels: usize,
    /// Fields of the set itself, `__typename` left out.
    root_fields: u64,
    sign_in_fields: u64,
    /// Fields of an answer if the set is inside introspection.
    volume: u64,
    /// Fields of an answer in those parts that are.
    introspection: u64,
}

impl Facts {
    /// Adds what is selected beside.
    fn join(&mut self, other: &Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.levels = self.levels.max(other.levels);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.sign_in_fields = self.sign_in_fields.saturating_add(other.sign_in_fields);
        self.volume = self.volume.saturating_add(other.volume);
        self.introspection = self.introspection.saturating_add(other.introspection);
    }

    /// The facts of a field with these facts below it.
    fn of_field(field: &Field, below: &Self) -> Self {
        let name = field.name.node.as_str();
        let volume = below.volume.saturating_mul(introspection_list(name)).saturating_add(1);
        let deepest = below.depth.max(below.introspection_depth);
        let introspects = is_introspection(name);
        Self {
            selections: below.selections.saturating_add(1),
            aliases: below.aliases.saturating_add(u64::from(field.alias.is_some())),
            directives: below.directives.saturating_add(count(&field.directives)),
            depth: if introspects { 1 } else { 1 + below.depth },
            introspection_depth: match (introspects, below.introspection_depth) {
                (true, _) => 1 + deepest,
                (false, 0) => 0,
                (false, depth) => 1 + depth,
            },
            levels: if field.selection_set.node.items.is_empty() { 0 } else { 1 + below.levels },
            root_fields: u64::from(name != "__typename"),
            sign_in_fields: u64::from(SIGN_IN_FIELDS.contains(&name)),
            volume,
            introspection: if introspects { volume } else { below.introspection },
        }
    }

    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        if self.levels > MAX_NESTING {
            return Err(Refusal::TooManyLevels { limit: MAX_NESTING });
        }
        if exceeds(self.selections, limits.max_selections) {
            return Err(Refusal::TooManySelections { limit: limits.max_selections });
        }
        if exceeds(self.aliases, limits.max_aliases) {
            return Err(Refusal::TooManyAliases { limit: limits.max_aliases });
        }
        if exceeds(self.directives, limits.max_directives) {
            return Err(Refusal::TooManyDirectives { limit: limits.max_directives });
        }
        if self.depth > limits.max_depth {
            return Err(Refusal::TooDeep { limit: limits.max_depth });
        }
        if self.introspection_depth > MAX_INTROSPECTION_DEPTH {
            return Err(Refusal::TooDeep { limit: MAX_INTROSPECTION_DEPTH });
        }
        if self.introspection > limits.max_introspection {
            return Err(Refusal::TooMuchIntrospection);
        }
        Ok(())
    }
}

/// Takes the facts of each fragment once.
pub(super) struct Survey<'a> {
    pub(super) document: &'a ExecutableDocument,
    /// Nothing while the fragment is being measured: whoever comes back to it then came in a circle.
    pub(super) fragments: HashMap<&'a str, Option<Facts>>,
}

impl<'a> Survey<'a> {
    pub(super) fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Facts, Refusal> {
        let mut facts = self.selection_set(&operation.selection_set.node, 0)?;
        let on_variables = operation.variable_definitions.iter().map(|definition| count(&definition.node.directives));
        facts.directives =
            on_variables.fold(facts.directives, u64::saturating_add).saturating_add(count(&operation.directives));
        Ok(facts)
    }

    /// The facts of a fragment's selection set; of an unknown fragment none, because validation refuses it.
    fn fragment(&mut self, name: &'a str, level: usize) -> Result<Facts, Refusal> {
        match self.fragments.get(name) {
            Some(Some(facts)) => return Ok(*facts),
            Some(None) => return Err(Refusal::CircularFragment { name: shorten(name) }),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Facts::default());
        };
        self.fragments.insert(name, None);
        let mut facts = self.selection_set(&fragment.node.selection_set.node, level)?;
        facts.directives = facts.directives.saturating_add(count(&fragment.node.directives));
        self.fragments.insert(name, Some(facts));
        Ok(facts)
    }

    /// `level` is the way here, which exists in the document: too long a way is refused before it is walked to its end.
    fn selection_set(&mut self, set: &'a SelectionSet, level: usize) -> Result<Facts, Refusal> {
        check_level(level)?;
        let mut facts = Facts::default();
        for item in &set.items {
            visited();
            let selected = match &item.node {
                Selection::Field(field) => {
                    let below = self.selection_set(&field.node.selection_set.node, level + 1)?;
                    Facts::of_field(&field.node, &below)
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.fragment(&spread.node.fragment_name.node, level + 1)?;
                    within_fragment(fragment, &spread.node.directives)
                }
                Selection::InlineFragment(fragment) => {
                    let below = self.selection_set(&fragment.node.selection_set.node, level + 1)?;
                    within_fragment(below, &fragment.node.directives)
                }
            };
            facts.join(&selected);
        }
        Ok(facts)
    }
}

fn within_fragment(mut facts: Facts, directives: &[Positioned<Directive>]) -> Facts {
    facts.levels += 1;
    facts.directives = facts.directives.saturating_add(count(directives));
    facts
}

fn check_root(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    facts: &Facts,
    limits: &Limits,
) -> Result<(), Refusal> {
    match operation.ty {
        OperationType::Query => Ok(()),
        OperationType::Mutation if exceeds(facts.root_fields, limits.max_root_fields) => {
            Err(Refusal::TooManyRootFields { limit: limits.max_root_fields })
        }
        OperationType::Mutation => Ok(()),
        OperationType::Subscription if facts.root_fields != 1 => Err(Refusal::SubscriptionRoot),
        OperationType::Subscription => match lift_root(document, operation) {
            Err(Unliftable::Directives(name)) => Err(Refusal::SubscriptionDirectives { name: shorten(&name) }),
            Ok(_) | Err(Unliftable::Fragment) => Ok(()),
        },
    }
}

/// Names of the root fields. Expands, so the document's selections must have been counted before.
fn root_fields(document: &ExecutableDocument, operation: &OperationDefinition) -> Vec<String> {
    fn gather(document: &ExecutableDocument, set: &SelectionSet, names: &mut Vec<String>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) if field.node.name.node == "__typename" => {}
                Selection::Field(field) => names.push(field.node.name.node.to_string()),
                Selection::InlineFragment(fragment) => gather(document, &fragment.node.selection_set.node, names),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        gather(document, &fragment.node.selection_set.node, names);
                    }
                }
            }
        }
    }
    let mut names = Vec::new();
    gather(document, &operation.selection_set.node, &mut names);
    names
}

/// Type condition (the nearest one) and response key, and how often a selection set has them. The condition is part of
/// it because a union of many types may ask each of them for the same.
type Keys<'a> = HashMap<(Option<&'a str>, &'a str), u64>;

/// Counts response keys, those of each fragment once; a spread adds the fragment's keys. Comes after the selections
/// have been bounded, so that a fragment has no more keys than [`Limits::max_selections`].
struct Repeats<'a> {
    document: &'a ExecutableDocument,
    fragments: HashMap<&'a str, Keys<'a>>,
    limit: usize,
}

impl<'a> Repeats<'a> {
    fn check(document: &'a ExecutableDocument, limits: &Limits) -> Result<(), Refusal> {
        let mut repeats = Self { document, fragments: HashMap::new(), limit: limits.max_repeats };
        for name in fragments_in_order(document) {
            repeats.fragment(name)?;
        }
        for (_, operation) in operations_in_order(document) {
            repeats.selection_set(&operation.selection_set.node, None, &mut Keys::new())?;
        }
        Ok(())
    }

    /// Knows that there are no circles.
    fn fragment(&mut self, name: &'a str) -> Result<(), Refusal> {
        if self.fragments.contains_key(name) {
            return Ok(());
        }
        let mut keys = Keys::new();
        if let Some(fragment) = self.document.fragments.get(name) {
            let condition = fragment.node.type_condition.node.on.node.as_str();
            self.selection_set(&fragment.node.selection_set.node, Some(condition), &mut keys)?;
        }
        self.fragments.insert(name, keys);
        Ok(())
    }

    fn selection_set(
        &mut self,
        set: &'a SelectionSet,
        condition: Option<&'a str>,
        keys: &mut Keys<'a>,
    ) -> Result<(), Refusal> {
        for item in &set.items {
            visited();
            match &item.node {
                Selection::Field(field) => {
                    self.add(keys, (condition, field.node.response_key().node.as_str()), 1)?;
                    if !field.node.selection_set.node.items.is_empty() {
                        self.selection_set(&field.node.selection_set.node, None, &mut Keys::new())?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let nearer = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    self.selection_set(&fragment.node.selection_set.node, nearer.or(condition), keys)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    self.fragment(name)?;
                    for (key, times) in self.fragments.get(name).into_iter().flatten() {
                        self.add(keys, *key, *times)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&self, keys: &mut Keys<'a>, key: (Option<&'a str>, &'a str), times: u64) -> Result<(), Refusal> {
        let counted = keys.entry(key).or_default();
        *counted = counted.saturating_add(times);
        if exceeds(*counted, self.limit) {
            return Err(Refusal::TooManyRepeats { limit: self.limit });
        }
        Ok(())
    }
}

/// How many items a list of the introspection schema has, roughly, in a schema of this size.
fn introspection_list(field_name: &str) -> u64 {
    match field_name {
        "types" => 100,
        "fields" | "inputFields" | "enumValues" | "directives" => 8,
        "possibleTypes" => 4,
        "interfaces" | "args" => 2,
        _ => 1,
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

fn exceeds(counted: u64, limit: usize) -> bool {
    u64::try_from(limit).is_ok_and(|limit| counted > limit)
}
