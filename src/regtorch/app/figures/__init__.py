"""Pictures: panels as plain data, and the one drawing of them."""
