//! The pages that stand for Odoo's web client.

use bytes::Bytes;
use http::Request;

use super::fake_odoo;

fn open(path: &str) -> (u16, String) {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    let response = fake_odoo().handle(&request);
    let page = String::from_utf8(response.body().to_vec()).unwrap();
    (response.status().as_u16(), page)
}

#[test]
fn link_to_a_record_opens_a_page_with_its_values() {
    let (status, page) = open("/odoo/sale.order/1");
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("<h1>S0"), "{page}");
    assert!(page.contains("<th align=left>Customer<td>"), "{page}");
    assert!(!page.contains("Security Token"), "{page}");
}

#[test]
fn link_to_nothing_says_where_records_are() {
    for path in [
        "/odoo",
        "/odoo/res.partner/999999",
        "/odoo/no.model/1",
        "/odoo/res.partner",
    ] {
        let (status, page) = open(path);
        assert_eq!(status, 404, "{path}");
        assert!(page.contains("No such record"), "{path}: {page}");
        assert!(!page.contains("Traceback"), "{path}: {page}");
    }
}
