"""The card's other forms: OpenAPI, Swagger, JSON Schema, help texts, snippets."""
