"""The handlers of the admin API, a file for each kind of thing. What they return is in the rows' response types."""
