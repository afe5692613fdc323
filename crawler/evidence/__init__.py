"""What a checkpoint is and what it was made from: facts of its header, and what hubs and authors say."""
