"""A page that shows a video while it is made."""
