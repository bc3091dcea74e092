"""Where a photo is and whose: addresses that are none never become links."""

from __future__ import annotations

import pytest

from geo_model.photo_credits import PhotoCredit, read_credit, web_host


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://farm1.staticflickr.com/19/1.jpg", "farm1.staticflickr.com"),
        ("http://example.org:8080/a", "example.org"),
        ("javascript:alert(1)", ""),
        ("/etc/passwd", ""),
        ("file:///etc/passwd", ""),
        ("https://user:secret@example.org/", ""),
        ('https://example.org/"><script>', ""),
        ("https://example.org/a b", ""),
        ("https://example.org:port/", ""),
        ("https://[broken", ""),
        ("https://" + "a" * 3000, ""),
        ("", ""),
    ],
)
def test_only_plain_web_addresses_have_a_host(address, host):
    assert web_host(address) == host


def test_a_credit_of_a_row():
    credit, remark = read_credit(
        "t.csv, line 2",
        {"url": "https://a.org/1.jpg", "author": "'-Andrew-", "license_name": "CC-BY 2.0", "license_url": ""},
    )
    assert credit == PhotoCredit("https://a.org/1.jpg", "-Andrew-", "CC-BY 2.0", "")
    assert credit.host == "a.org"
    assert remark is None


def test_an_address_that_is_none_is_left_out_with_a_remark():
    credit, remark = read_credit("t.csv, line 2", {"url": "javascript:alert(1)", "author": "B"})
    assert credit == PhotoCredit("", "B")
    assert remark == (
        "t.csv, line 2, column url: 'javascript:alert(1)' is no web address; the photo is shown without it."
    )


def test_an_empty_row_has_no_credit():
    assert read_credit("t.csv, line 2", {"url": " ", "author": ""}) == (None, None)
