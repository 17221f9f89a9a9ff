"""Around every call of VectorSearchService: who calls, whether the call may begin, its deadline, its status and what is told of it."""
