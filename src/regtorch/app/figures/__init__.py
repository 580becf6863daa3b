"""Pictures: panels as plain data, and their drawing."""
