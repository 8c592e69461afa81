//! Relay connections: keyset pages both ways, with a default and a ceiling.
//!
//! A cursor is opaque to clients: base64url of the key that the list is ordered by. It names a place, not a row, so
//! that a page does not skip or repeat when rows come and go.

use async_graphql::SimpleObject;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::Timestamp;
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
    sea_query::Expr,
};
use uuid::Uuid;

use crate::error::Error;

/// Most nodes on one page; `server.limits.maxPageSize`.
pub const MAX_PAGE_SIZE: u64 = 100;
/// Nodes on a page when neither `first` nor `last` is given.
pub const DEFAULT_PAGE_SIZE: u64 = 25;

/// Where a page lies in its list.
#[derive(Clone, Debug, Default, PartialEq, Eq, SimpleObject)]
pub struct PageInfo {
    /// Whether there is more after `endCursor`.
    pub has_next_page: bool,
    /// Whether there is more before `startCursor`.
    pub has_previous_page: bool,
    /// Cursor of the first edge; null on an empty page.
    pub start_cursor: Option<String>,
    /// Cursor of the last edge; null on an empty page.
    pub end_cursor: Option<String>,
}

/// The arguments of a connection field, as they came.
#[derive(Clone, Debug, Default)]
pub struct PageArguments {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

/// From which end a page is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// A page to fetch: at most `size` rows strictly between the keys, counted from one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<K> {
    pub direction: Direction,
    pub size: u64,
    pub after: Option<K>,
    pub before: Option<K>,
}

impl PageArguments {
    pub fn forward(first: Option<i32>, after: Option<String>) -> Self {
        Self { first, after, ..Self::default() }
    }

    /// Checks the arguments. `without_size` is the end to count from when neither `first` nor `last` is given.
    pub fn resolve<K: CursorKey>(self, without_size: Direction) -> Result<PageRequest<K>, Error> {
        let (direction, size) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(Error::bad_input("Give `first` or `last`, not both.")),
            (Some(first), None) => (Direction::Forward, page_size(first, "first")?),
            (None, Some(last)) => (Direction::Backward, page_size(last, "last")?),
            (None, None) if self.after.is_some() => (Direction::Forward, DEFAULT_PAGE_SIZE),
            (None, None) if self.before.is_some() => (Direction::Backward, DEFAULT_PAGE_SIZE),
            (None, None) => (without_size, DEFAULT_PAGE_SIZE),
        };
        let key = |cursor: Option<String>, argument| cursor.map(|cursor| decode_cursor(&cursor, argument)).transpose();
        Ok(PageRequest { direction, size, after: key(self.after, "after")?, before: key(self.before, "before")? })
    }
}

fn page_size(size: i32, argument: &str) -> Result<u64, Error> {
    match u64::try_from(size) {
        Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
        _ => Err(Error::bad_input(format!("`{argument}` must be between 0 and {MAX_PAGE_SIZE}."))),
    }
}

/// A fetched page: its rows in list order, and whether there is more at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub has_next_page: bool,
    pub has_previous_page: bool,
}

impl<K> PageRequest<K> {
    /// How many rows to ask the database for: one more tells whether there is more.
    pub fn limit(&self) -> u64 {
        self.size + 1
    }

    /// Cuts what was fetched, `limit()` rows at most in the order of the direction, to the page in list order.
    pub fn page<T>(&self, mut rows: Vec<T>) -> Page<T> {
        let more = rows.len() as u64 > self.size;
        rows.truncate(self.size as usize);
        match self.direction {
            Direction::Forward => {
                Page { rows, has_next_page: more || self.before.is_some(), has_previous_page: self.after.is_some() }
            }
            Direction::Backward => {
                rows.reverse();
                Page { rows, has_next_page: self.before.is_some(), has_previous_page: more || self.after.is_some() }
            }
        }
    }
}

impl PageRequest<(Timestamp, Uuid)> {
    /// Restricts a query to this page of a list that has the newest first, by a time and an id.
    pub fn newest_first<E: EntityTrait>(&self, query: Select<E>, time: E::Column, id: E::Column) -> Select<E> {
        let columns = || Expr::tuple([Expr::col(time.as_column_ref()), Expr::col(id.as_column_ref())]);
        let key = |(time, id): (Timestamp, Uuid)| Expr::tuple([Expr::value(time), Expr::value(id)]);
        let query = query
            .apply_if(self.after, |query, after| query.filter(columns().lt(key(after))))
            .apply_if(self.before, |query, before| query.filter(columns().gt(key(before))))
            .limit(self.limit());
        let order = match self.direction {
            Direction::Forward => Order::Desc,
            Direction::Backward => Order::Asc,
        };
        query.order_by(time, order.clone()).order_by(id, order)
    }
}

impl<T> Page<T> {
    pub fn page_info(&self, cursor: impl Fn(&T) -> String) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next_page,
            has_previous_page: self.has_previous_page,
            start_cursor: self.rows.first().map(&cursor),
            end_cursor: self.rows.last().map(&cursor),
        }
    }
}

/// A key that a list is ordered by.
pub trait CursorKey: Sized {
    fn to_text(&self) -> String;
    fn from_text(text: &str) -> Option<Self>;
}

pub fn encode_cursor(key: &impl CursorKey) -> String {
    URL_SAFE_NO_PAD.encode(key.to_text())
}

pub fn decode_cursor<K: CursorKey>(cursor: &str, argument: &str) -> Result<K, Error> {
    let decode = || {
        if cursor.len() > 256 {
            return None;
        }
        K::from_text(std::str::from_utf8(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?)
    };
    decode().ok_or_else(|| Error::bad_input(format!("`{argument}` is not a cursor of this list.")))
}

/// A position, a sequence.
impl CursorKey for i64 {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A name.
impl CursorKey for String {
    fn to_text(&self) -> String {
        self.clone()
    }

    fn from_text(text: &str) -> Option<Self> {
        (!text.contains('\0')).then(|| text.to_owned())
    }
}

/// An id.
impl CursorKey for Uuid {
    fn to_text(&self) -> String {
        self.simple().to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok()
    }
}

/// A time, with an id for those of the same millisecond.
impl CursorKey for (Timestamp, Uuid) {
    fn to_text(&self) -> String {
        format!("{}.{}", self.0.0, self.1.simple())
    }

    fn from_text(text: &str) -> Option<Self> {
        let (time, id) = text.split_once('.')?;
        Some((Timestamp(time.parse().ok()?), Uuid::try_parse(id).ok()?))
    }
}

/// Declares a connection type and its edge type over a node type.
///
/// `connection!(/// doc … UserConnection, UserEdge, User)`; extra fields of the edge and of the connection go in
/// braces. `Name::new(page, cursor, edge)` builds it from a fetched [`Page`].
#[macro_export]
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty $(, edge { $($(#[$edge_meta:meta])* $edge_field:ident : $edge_type:ty),* $(,)? })? $(, with { $($(#[$meta:meta])* $field:ident : $type:ty),* $(,)? })?) => {
        /// A node and its place in the list.
        #[derive(Clone, async_graphql::SimpleObject)]
        pub struct $edge {
            /// For `after` and `before`.
            pub cursor: String,
            /// What is at this place.
            pub node: $node,
            $($($(#[$edge_meta])* pub $edge_field: $edge_type,)*)?
        }

        /// A page of the list.
        #[derive(Clone, async_graphql::SimpleObject)]
        #[graphql(complex)]
        pub struct $connection {
            /// The nodes with their cursors.
            pub edges: Vec<$edge>,
            /// Where this page lies in the list.
            pub page_info: $crate::graphql::pagination::PageInfo,
            $($($(#[$meta])* pub $field: $type,)*)?
        }

        #[async_graphql::ComplexObject]
        impl $connection {
            /// The nodes without their cursors.
            async fn nodes(&self) -> Vec<$node> {
                self.edges.iter().map(|edge| edge.node.clone()).collect()
            }
        }
    };
}

/// The [`PageInfo`] of edges made from a page.
pub fn page_info_of<E>(
    has_next_page: bool,
    has_previous_page: bool,
    edges: &[E],
    cursor: impl Fn(&E) -> &String,
) -> PageInfo {
    PageInfo {
        has_next_page,
        has_previous_page,
        start_cursor: edges.first().map(|edge| cursor(edge).clone()),
        end_cursor: edges.last().map(|edge| cursor(edge).clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(arguments: PageArguments) -> Result<PageRequest<i64>, Error> {
        arguments.resolve(Direction::Forward)
    }

    #[test]
    fn absurd_sizes_are_refused() {
        for size in [-1, i32::MIN, 101, i32::MAX] {
            assert!(resolve(PageArguments { first: Some(size), ..Default::default() }).is_err(), "{size}");
            assert!(resolve(PageArguments { last: Some(size), ..Default::default() }).is_err(), "{size}");
        }
        assert!(resolve(PageArguments { first: Some(1), last: Some(1), ..Default::default() }).is_err());
        assert_eq!(resolve(PageArguments { first: Some(0), ..Default::default() }).expect("a page").size, 0);
    }

    #[test]
    fn bad_cursors_are_refused() {
        for cursor in ["", "%", "AAAA", "bm90IGEgbnVtYmVy", &"A".repeat(10_000), "\0", "🦀"] {
            let arguments = PageArguments::forward(None, Some(cursor.into()));
            assert!(resolve(arguments).is_err(), "{cursor:?}");
        }
    }

    #[test]
    fn keys_survive_their_cursor() {
        let time = (Timestamp(-5), Uuid::from_u128(7));
        assert_eq!(decode_cursor::<(Timestamp, Uuid)>(&encode_cursor(&time), "after").expect("decodes"), time);
        assert_eq!(decode_cursor::<i64>(&encode_cursor(&i64::MAX), "after").expect("decodes"), i64::MAX);
        assert_eq!(decode_cursor::<String>(&encode_cursor(&"ü".to_owned()), "after").expect("decodes"), "ü");
    }

    #[test]
    fn one_row_more_tells_that_there_is_more() {
        let forward = PageRequest { direction: Direction::Forward, size: 2, after: Some(0), before: None };
        assert_eq!(
            forward.page(vec![1, 2, 3]),
            Page { rows: vec![1, 2], has_next_page: true, has_previous_page: true }
        );
        let backward = PageRequest { direction: Direction::Backward, size: 2, after: None, before: None::<i64> };
        assert_eq!(
            backward.page(vec![9, 8]),
            Page { rows: vec![8, 9], has_next_page: false, has_previous_page: false }
        );
    }
}
