"""The data docs: a static site, and the same as one ``catalog.json``.

``document`` gathers what is known of tables, columns, metrics, rules and parameters, ``state`` what
the warehouse has counted; ``site`` lays it out from the templates in ``pages/``, ``drawing`` places
the tables of the map. All of it is for those who may not see families' data: no value of a row, no
delivered text, no count of a group of people.
"""
