"""One request and its response: who is answered, who answers, who looks on. Read this package first."""
