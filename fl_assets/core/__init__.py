"""What every stage shares: settings, records, tables, the days of a cycle. Imports no other stage."""
