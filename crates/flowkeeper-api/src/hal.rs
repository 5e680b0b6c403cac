//! What all documents share: links, pages and embedded lists, as HAL and SCDF shape them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Deserializer;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// A link, absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    pub href: String,
    /// Printed only when true: then `href` contains `{variables}`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub templated: bool,
}

/// The links of most resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SelfLink {
    #[serde(rename = "self")]
    pub self_link: Link,
}

/// The links of a page: only those that lead somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PageLinks {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Link>,
    #[serde(rename = "self")]
    pub self_link: Link,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Link>,
}

/// Which part of a list this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page {
    /// Items asked for.
    pub size: usize,
    /// Items in all pages.
    pub total_elements: usize,
    pub total_pages: usize,
    /// This page, from 0.
    pub number: usize,
}

/// A resource that occurs in lists.
pub trait Embedded {
    /// The member of `_embedded` that holds the list.
    const REL: &'static str;
}

/// A page of a list. `_embedded` is absent when the page is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize + Embedded", deserialize = "T: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paged<T> {
    #[serde(rename = "_embedded", default = "Items::none", skip_serializing_if = "Items::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<T>>, required = false))]
    pub embedded: Items<T>,
    #[serde(rename = "_links")]
    pub links: PageLinks,
    pub page: Page,
}

/// A list inside another resource: `{}` when it is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize + Embedded", deserialize = "T: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Collection<T> {
    #[serde(rename = "_embedded", default = "Items::none", skip_serializing_if = "Items::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<T>>, required = false))]
    pub embedded: Items<T>,
}

/// The items of a list; in JSON an object with one member named by [`Embedded::REL`].
#[derive(Clone, PartialEq, Eq)]
pub struct Items<T>(pub Vec<T>);

impl<T> Paged<T> {
    /// The items of this page.
    pub fn items(&self) -> &[T] {
        &self.embedded.0
    }

    /// The items of this page.
    pub fn into_items(self) -> Vec<T> {
        self.embedded.0
    }
}

impl<T> Items<T> {
    fn none() -> Items<T> {
        Items(Vec::new())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> From<Vec<T>> for Collection<T> {
    fn from(items: Vec<T>) -> Self {
        Collection { embedded: Items(items) }
    }
}

impl<T: fmt::Debug> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize + Embedded> Serialize for Items<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(T::REL, &self.0)?;
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The name of the one member says nothing that the type does not.
        let map = BTreeMap::<String, Vec<T>>::deserialize(deserializer)?;
        Ok(Items(map.into_values().flatten().collect()))
    }
}

impl Link {
    pub fn new(href: impl Into<String>) -> Link {
        Link { href: href.into(), templated: false }
    }
}

impl SelfLink {
    pub fn new(href: impl Into<String>) -> SelfLink {
        SelfLink { self_link: Link::new(href) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Word(String);

    impl Embedded for Word {
        const REL: &'static str = "wordResourceList";
    }

    #[test]
    fn an_empty_list_has_no_embedded_member() {
        let paged = Paged::<Word> {
            embedded: Items(Vec::new()),
            links: PageLinks { self_link: Link::new("/x"), ..PageLinks::default() },
            page: Page { size: 20, ..Page::default() },
        };
        let text = serde_json::to_string(&paged).unwrap();
        assert_eq!(
            text,
            r#"{"_links":{"self":{"href":"/x"}},"page":{"size":20,"totalElements":0,"totalPages":0,"number":0}}"#
        );
        assert_eq!(serde_json::from_str::<Paged<Word>>(&text).unwrap(), paged);
        assert_eq!(serde_json::to_string(&Collection::<Word>::from(Vec::new())).unwrap(), "{}");
    }

    #[test]
    fn a_list_lies_under_the_name_of_its_kind() {
        let list = Collection::from(vec![Word("a".into())]);
        let text = serde_json::to_string(&list).unwrap();
        assert_eq!(text, r#"{"_embedded":{"wordResourceList":["a"]}}"#);
        assert_eq!(serde_json::from_str::<Collection<Word>>(&text).unwrap(), list);
    }
}
