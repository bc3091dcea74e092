"""The web app: pages that show what the library computes."""
