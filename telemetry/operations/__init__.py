"""What backends say of themselves: fetched, kept by day beside the events, and viewed."""
