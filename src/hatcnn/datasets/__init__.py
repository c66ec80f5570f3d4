"""Who is in which picture: Market-1501, pictures of your own, synthetic people."""
