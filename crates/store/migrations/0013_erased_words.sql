-- The index of a full-text table keeps the words of rows that were deleted until it happens to merge its parts. Now it
-- takes them out at once, and what it still has of such rows goes.

INSERT INTO conversation_search (conversation_search, rank) VALUES ('secure-delete', 1);
INSERT INTO conversation_search (conversation_search) VALUES ('rebuild');
