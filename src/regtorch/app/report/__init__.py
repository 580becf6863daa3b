"""`regtorch report`: one page about whatever lies in a folder."""
