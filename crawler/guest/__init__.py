"""Good manners: how both hubs are spoken to."""
