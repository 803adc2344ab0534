"""What is outside of the project is in the data docs, with owner and URL."""

from __future__ import annotations

import json

import pytest

from lingokids.docs import command


@pytest.mark.slow
def test_an_exposure_has_a_page_with_owner_url_and_what_it_may_show(project):
    project.switch_to()
    site = command.build(project.folder, "test", None)
    tables = {
        table["name"]: table
        for table in json.loads((site / "catalog.json").read_text())["tables"]
        if table["layer"] == "exposure"
    }
    bigquery = tables["engagement_in_bigquery"]
    page = (site / "tables" / "engagement_in_bigquery.html").read_text()
    published = (site / "tables" / "published_activity_engagement_metrics.html").read_text()

    assert bigquery["owner"] == "Business intelligence"
    assert bigquery["audience"] == "restricted", "it has exact groups"
    assert tables["weekly_product_review"]["audience"] == "shareable"
    assert f'<a href="{bigquery["url"]}">' in page
    assert "engagement_in_bigquery.html" in published
