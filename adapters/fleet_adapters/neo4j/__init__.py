"""The context graph on a Neo4j server, through the official driver."""
