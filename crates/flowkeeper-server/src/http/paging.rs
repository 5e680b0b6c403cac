//! Pages and sorting, as Spring Data reads and links them.

use std::cmp::Ordering;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use flowkeeper_api::hal::{Embedded, Items, Link, Page, PageLinks, Paged};

use super::base::Base;
use super::negotiate::SentPath;
use crate::app::Error;

const DEFAULT_SIZE: usize = 20;
/// Larger pages are cut to this, without a word.
const MAX_SIZE: usize = 2000;

/// Which page is asked for, and how it is sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// From 0.
    number: usize,
    size: usize,
    sort: Vec<Order>,
    /// The other parameters as they were sent; links repeat them.
    rest: String,
    /// The path as it was sent, where it is not the route's own.
    sent_path: Option<String>,
}

/// One property to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) property: String,
    is_descending: bool,
    ignores_case: bool,
}

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let sent_path = parts.extensions.get::<SentPath>().map(|sent| sent.0.clone());
        Ok(Paging { sent_path, ..Paging::read(parts.uri.query().unwrap_or_default()) })
    }
}

impl Paging {
    fn read(query: &str) -> Paging {
        let (sort, rest) = (Vec::new(), String::new());
        let mut paging = Paging { number: 0, size: DEFAULT_SIZE, sort, rest, sent_path: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else { continue };
            match &*name {
                "page" => paging.number = value.parse().unwrap_or(0),
                "size" => {
                    let size = value.parse().ok().filter(|size| *size > 0);
                    paging.size = size.unwrap_or(DEFAULT_SIZE).min(MAX_SIZE);
                }
                "sort" => paging.sort.extend(read_sort(&value)),
                _ => {
                    paging.rest.push_str(pair);
                    paging.rest.push('&');
                }
            }
        }
        // Beyond this no page can be, and sums stay within their type.
        paging.number = paging.number.min(u32::MAX as usize);
        paging
    }

    /// True when nobody said how to sort.
    pub(super) fn is_unsorted(&self) -> bool {
        self.sort.is_empty()
    }

    /// How many items lie before the page.
    pub(super) fn offset(&self) -> usize {
        self.number * self.size
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Sorts `items` by `known` properties of an `entity`.
    ///
    /// # Errors
    /// [`Error::NoProperty`] when another one was asked for.
    pub(super) fn sort<T>(
        &self,
        entity: &'static str,
        known: &[&str],
        items: &mut [T],
        compare: impl Fn(&Order, &T, &T) -> Ordering,
    ) -> Result<(), Error> {
        if let Some(order) = self.sort.iter().find(|order| !known.contains(&order.property.as_str())) {
            return Err(Error::NoProperty { property: order.property.clone(), entity });
        }
        items.sort_by(|a, b| {
            let by = |order: &Order| {
                let ordering = compare(order, a, b);
                if order.is_descending { ordering.reverse() } else { ordering }
            };
            self.sort.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(())
    }

    /// The items of the page, out of all.
    pub(super) fn cut<T>(&self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.offset()).take(self.size).collect()
    }

    /// The page with its links; `items` are shown as they are, `total` is how many there are in all pages.
    pub(super) fn page<T: Embedded>(&self, base: &Base, path: &str, items: Vec<T>, total: usize) -> Paged<T> {
        // Spring Data believes the last page more than the count.
        let is_last = !items.is_empty() && self.offset() + self.size > total;
        let total = if is_last { self.offset() + items.len() } else { total };
        let total_pages = total.div_ceil(self.size);
        let link = |number| Link::new(self.href(base, path, number));
        let (has_prev, has_next) = (self.number > 0, self.number + 1 < total_pages);
        let is_navigable = has_prev || has_next;
        Paged {
            embedded: Items(items),
            links: PageLinks {
                first: is_navigable.then(|| link(0)),
                prev: has_prev.then(|| link(self.number - 1)),
                self_link: link(self.number),
                next: has_next.then(|| link(self.number + 1)),
                last: is_navigable.then(|| link(total_pages.saturating_sub(1))),
            },
            page: Page { size: self.size, total_elements: total, total_pages, number: self.number },
        }
    }

    fn href(&self, base: &Base, path: &str, number: usize) -> String {
        let path = self.sent_path.as_deref().unwrap_or(path);
        let mut href = format!("{}?{}page={number}&size={}", base.href(path), self.rest, self.size);
        // Neighbours of one direction share a parameter.
        for group in self.sort.chunk_by(|a, b| a.is_descending == b.is_descending) {
            href.push_str("&sort=");
            for order in group {
                href.extend(form_urlencoded::byte_serialize(order.property.as_bytes()));
                href.push(',');
            }
            href.push_str(if group[0].is_descending { "desc" } else { "asc" });
        }
        href
    }
}

impl Order {
    /// Compares two values of the property that are texts.
    pub(super) fn texts(&self, a: &str, b: &str) -> Ordering {
        if self.ignores_case { a.to_lowercase().cmp(&b.to_lowercase()) } else { a.cmp(b) }
    }
}

/// `name,type,desc,ignorecase`: properties, perhaps a direction, and perhaps that case does not count.
fn read_sort(text: &str) -> Vec<Order> {
    let mut words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let ignores_case = words.last().is_some_and(|word| word.eq_ignore_ascii_case("ignorecase"));
    if ignores_case {
        words.pop();
    }
    let direction = words.last().and_then(|word| match word.to_ascii_lowercase().as_str() {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    });
    if direction.is_some() {
        words.pop();
    }
    let is_descending = direction.unwrap_or(false);
    let order = |word: &str| Order { property: word.to_owned(), is_descending, ignores_case };
    words.into_iter().map(order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_read_as_the_default_and_sizes_have_a_limit() {
        for (query, number, size) in [
            ("", 0, 20),
            ("page=3&size=7", 3, 7),
            ("page=-4&size=zero", 0, 20),
            ("page=x&size=0", 0, 20),
            ("size=10000", 0, 2000),
            ("page=99999999999999999999", 0, 20),
            ("page=18446744073709551615&size=2000", u32::MAX as usize, 2000),
        ] {
            let paging = Paging::read(query);
            assert_eq!((paging.number, paging.size), (number, size), "{query}");
            let _ = paging.offset();
        }
    }

    #[test]
    fn sort_words_are_properties_and_a_direction() {
        let read = |query: &str| {
            let show =
                |order: &Order| format!("{}{}", if order.is_descending { "-" } else { "" }, order.property);
            Paging::read(query).sort.iter().map(show).collect::<Vec<_>>()
        };
        assert_eq!(read("sort=name"), ["name"]);
        assert_eq!(read("sort=type,desc&sort=name,ASC"), ["-type", "name"]);
        assert_eq!(read("sort=a,b,desc"), ["-a", "-b"]);
        assert_eq!(read("sort=name,sideways"), ["name", "sideways"]);
        assert_eq!(read("sort=name,desc,IgnoreCase"), ["-name"]);
    }

    #[test]
    fn items_are_sorted_by_known_properties_only() {
        let compare = |_: &Order, a: &u8, b: &u8| a.cmp(b);
        let mut items = [2, 3, 1];
        Paging::read("sort=n,desc").sort("Number", &["n"], &mut items, compare).unwrap();
        assert_eq!(items, [3, 2, 1]);
        let mut words = ["b", "A", "C"];
        let texts = |order: &Order, a: &&str, b: &&str| order.texts(a, b);
        Paging::read("sort=n").sort("Word", &["n"], &mut words, texts).unwrap();
        assert_eq!(words, ["A", "C", "b"]);
        Paging::read("sort=n,asc,ignorecase").sort("Word", &["n"], &mut words, texts).unwrap();
        assert_eq!(words, ["A", "b", "C"]);
        let error = Paging::read("sort=colour").sort("Number", &["n"], &mut [], compare).unwrap_err();
        assert_eq!(error.to_string(), "No property 'colour' found for type 'Number'");
    }

    proptest::proptest! {
        #[test]
        fn no_query_is_too_strange(query in ".*") {
            let _ = Paging::read(&query).offset();
        }
    }
}
