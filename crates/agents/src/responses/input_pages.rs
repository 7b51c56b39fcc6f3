//! Pages of a stored response's input items.

use lar_base::Problem;
use lar_compat::openai::responses::wire::InputItems;
use serde_json::Value;

/// The default number of input items on a page.
const ITEMS_PAGE: usize = 20;
/// The maximum number of input items on a page.
const ITEMS_PAGE_MAX: usize = 100;

/// The choice of a page of input items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputItemsQuery {
    /// The maximum number of items on the page, from 1 to 100; 20 if absent.
    pub limit: Option<usize>,
    /// The order of the items: `asc` for the order of the input, or `desc` for the reverse; `desc` if absent.
    pub order: Option<String>,
    /// The id of the item before the page; absent for the first page.
    pub after: Option<String>,
}

impl InputItemsQuery {
    /// Returns the maximum number of items on the page.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] if it is out of range.
    pub(super) fn items_max(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(ITEMS_PAGE);
        match (1..=ITEMS_PAGE_MAX).contains(&limit) {
            true => Ok(limit),
            false => Err(Problem::invalid("limit", format!("must be between 1 and {ITEMS_PAGE_MAX}"))),
        }
    }

    /// Returns a page of up to `items_max` items from all items, which are in the order of the input.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] if the order is unknown, or no item has the id in `after`.
    pub(super) fn page(&self, mut items: Vec<Value>, items_max: usize) -> Result<InputItems, Problem> {
        match self.order.as_deref() {
            Some("asc") => {}
            None | Some("desc") => items.reverse(),
            Some(_) => return Err(Problem::invalid("order", "must be asc or desc")),
        }
        let id_of = |item: &Value| item["id"].as_str().map(ToOwned::to_owned);
        let from = match &self.after {
            None => 0,
            Some(after) => {
                let at = items.iter().position(|item| id_of(item).as_ref() == Some(after));
                at.ok_or_else(|| Problem::invalid("after", "must be the id of an item of this response"))? + 1
            }
        };
        let data: Vec<Value> = items.iter().skip(from).take(items_max).cloned().collect();
        Ok(InputItems {
            object: "list",
            has_more: from + data.len() < items.len(),
            first_id: data.first().and_then(id_of),
            last_id: data.last().and_then(id_of),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Page = Result<(Option<String>, Option<String>, bool), String>;

    /// Returns the first id and the last id of a page of three items, and whether more items follow.
    fn page(limit: Option<usize>, order: Option<&str>, after: Option<&str>) -> Page {
        let items = vec![json!({ "id": "a" }), json!({ "id": "b" }), json!({ "id": "c" })];
        let (order, after) = (order.map(ToOwned::to_owned), after.map(ToOwned::to_owned));
        let query = InputItemsQuery { limit, order, after };
        let page = query.items_max().and_then(|items_max| query.page(items, items_max));
        page.map(|page| (page.first_id, page.last_id, page.has_more)).map_err(|problem| problem.detail)
    }

    fn ids(first: &str, last: &str, has_more: bool) -> Page {
        Ok((Some(first.into()), Some(last.into()), has_more))
    }

    #[test]
    fn pages_follow_each_other_in_both_orders() {
        assert_eq!(page(None, None, None), ids("c", "a", false));
        assert_eq!(page(Some(2), Some("desc"), None), ids("c", "b", true));
        assert_eq!(page(Some(2), Some("desc"), Some("b")), ids("a", "a", false));
        assert_eq!(page(Some(1), Some("asc"), Some("a")), ids("b", "b", true));
        assert_eq!(page(None, Some("asc"), Some("c")), Ok((None, None, false)));
        for (limit, order, after, field) in [
            (Some(0), None, None, "limit"),
            (Some(101), None, None, "limit"),
            (None, Some("up"), None, "order"),
            (None, None, Some("d"), "after"),
        ] {
            let detail = page(limit, order, after).unwrap_err();
            assert!(detail.starts_with(&format!("`{field}` must be ")), "{detail}");
        }
    }
}
