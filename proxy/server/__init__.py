"""The client's side of the wire: the guarded HTTP protocol, the face that answers are pushed into, the listener."""
