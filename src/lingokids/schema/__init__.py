"""What each table promises: its grain, and its columns with their meaning.

One definition per column (``columns``), the fields of raw records (``raw``), one contract per table
(``bronze``, ``silver``, ``gold``, ``records``), the kinds of rules (``rules``) and which tables
keep which (``promises``).

The names and meanings are those of the predecessor's warehouse, so its queries run as they
are; the rules behind them are in the README beside each pipeline.
"""

from lingokids.schema import bronze, gold, records, silver
from lingokids.schema.bronze import *
from lingokids.schema.columns import *
from lingokids.schema.contract import *
from lingokids.schema.contract import Contract
from lingokids.schema.days import local_date as local_date
from lingokids.schema.gold import *
from lingokids.schema.promises import *
from lingokids.schema.raw import *
from lingokids.schema.records import *
from lingokids.schema.rules import *
from lingokids.schema.silver import *

#: Every contract by its table's name.
CONTRACTS: dict[str, Contract] = {
    contract.table_name: contract
    for room in (bronze, silver, gold, records)
    for contract in vars(room).values()
    if isinstance(contract, Contract)
}
#: Those of tables that the warehouse keeps.
STORED: dict[str, Contract] = {
    name: contract for name, contract in CONTRACTS.items() if contract.promise.is_stored
}
