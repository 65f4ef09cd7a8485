"""What the command line prints: reports and models as tables for people, and progress."""
