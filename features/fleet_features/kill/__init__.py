"""The fleet as services on real servers, one part of it killed again and again."""
