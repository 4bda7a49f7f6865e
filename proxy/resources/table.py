"""The table of resource endpoints: files, batches, vector stores, assistants, threads, videos, stored responses."""

from typing import Final

from proxy.ledger.record import BATCH_INPUT
from proxy.resources.spec import ResourceRow

_PAGE: Final = frozenset({"limit", "order", "after", "before"})
_INCLUDE: Final = frozenset({"include", "include[]"})
_FILES: Final = frozenset({"file_id", "file_ids"})
_STORES: Final = frozenset({"file_id", "file_ids", "vector_store_ids"})
_TUNED: Final = frozenset({"result_files"})
_BATCH: Final = frozenset({"output_file_id", "error_file_id"})
_RUN: Final = (("id", "thread.run"), ("thread_id", "thread"))

RESPONSES: Final = (
    ResourceRow(
        "GET",
        "/v1/responses/{response_id}",
        "Show a stored response, or stream it again.",
        response="json or events",
        query=frozenset({"include", "include[]", "include_obfuscation", "starting_after", "stream"}),
    ),
    ResourceRow("DELETE", "/v1/responses/{response_id}", "Delete a stored response.", deletes="response_id"),
    ResourceRow("POST", "/v1/responses/{response_id}/cancel", "Stop a response in the background."),
    ResourceRow(
        "GET",
        "/v1/responses/{response_id}/input_items",
        "List what a stored response was made from.",
        query=_PAGE | _INCLUDE,
    ),
    ResourceRow(
        "POST", "/v1/conversations", "Begin a stored conversation.", body="json", creates=(("id", "conversation"),)
    ),
    ResourceRow("GET", "/v1/conversations/{conversation_id}", "Show a stored conversation."),
    ResourceRow("POST", "/v1/conversations/{conversation_id}", "Change a conversation's metadata.", body="json"),
    ResourceRow(
        "DELETE", "/v1/conversations/{conversation_id}", "Delete a stored conversation.", deletes="conversation_id"
    ),
    ResourceRow(
        "GET", "/v1/conversations/{conversation_id}/items", "List a conversation's items.", query=_PAGE | _INCLUDE
    ),
    ResourceRow(
        "POST", "/v1/conversations/{conversation_id}/items", "Add items to a conversation.", body="json", query=_INCLUDE
    ),
    ResourceRow(
        "GET", "/v1/conversations/{conversation_id}/items/{item_id}", "Show an item of a conversation.", query=_INCLUDE
    ),
    ResourceRow("DELETE", "/v1/conversations/{conversation_id}/items/{item_id}", "Delete an item of a conversation."),
)

FILES: Final = (
    ResourceRow("POST", "/v1/files", "Upload a file.", body="file", creates=(("id", "file"),)),
    ResourceRow(
        "GET",
        "/v1/files",
        "List your files.",
        lists="file",
        lists_too=(BATCH_INPUT,),
        max_page=10_000,
        default_page=10_000,
        query=_PAGE | {"purpose"},
    ),
    ResourceRow("GET", "/v1/files/{file_id}", "Show a file."),
    ResourceRow("DELETE", "/v1/files/{file_id}", "Delete a file.", deletes="file_id"),
    ResourceRow("GET", "/v1/files/{file_id}/content", "Download a file.", response="bytes"),
    ResourceRow(
        "POST",
        "/v1/uploads",
        "Begin to upload a large file in parts.",
        body="json",
        refuses="batch",
        creates=(("id", "upload"),),
    ),
    ResourceRow(
        "POST",
        "/v1/uploads/{upload_id}/parts",
        "Upload a part of a large file.",
        body="form",
        creates=(("id", "upload.part"),),
    ),
    ResourceRow(
        "POST",
        "/v1/uploads/{upload_id}/complete",
        "Make a file of the parts.",
        body="json",
        creates=(("file.id", "file"),),
    ),
    ResourceRow("POST", "/v1/uploads/{upload_id}/cancel", "Give an upload up."),
)

BATCHES: Final = (
    ResourceRow(
        "POST",
        "/v1/batches",
        "Start a batch of requests out of a file.",
        starts=True,
        body="json",
        takes_batches=True,
        creates=(("id", "batch"),),
        adopts=_BATCH,
    ),
    ResourceRow("GET", "/v1/batches", "List your batches.", lists="batch", query=_PAGE, adopts=_BATCH),
    ResourceRow("GET", "/v1/batches/{batch_id}", "Show a batch.", adopts=_BATCH),
    ResourceRow("POST", "/v1/batches/{batch_id}/cancel", "Stop a batch.", adopts=_BATCH),
)

VECTOR_STORES: Final = (
    ResourceRow("POST", "/v1/vector_stores", "Make a vector store.", body="json", creates=(("id", "vector_store"),)),
    ResourceRow("GET", "/v1/vector_stores", "List your vector stores.", lists="vector_store", query=_PAGE),
    ResourceRow("GET", "/v1/vector_stores/{vector_store_id}", "Show a vector store."),
    ResourceRow("POST", "/v1/vector_stores/{vector_store_id}", "Change a vector store.", body="json"),
    ResourceRow("DELETE", "/v1/vector_stores/{vector_store_id}", "Delete a vector store.", deletes="vector_store_id"),
    ResourceRow("POST", "/v1/vector_stores/{vector_store_id}/search", "Search a vector store.", body="json"),
    ResourceRow("POST", "/v1/vector_stores/{vector_store_id}/files", "Add a file to a vector store.", body="json"),
    ResourceRow(
        "GET",
        "/v1/vector_stores/{vector_store_id}/files",
        "List the files of a vector store.",
        query=_PAGE | {"filter"},
    ),
    ResourceRow("GET", "/v1/vector_stores/{vector_store_id}/files/{file_id}", "Show a file of a vector store."),
    ResourceRow(
        "POST",
        "/v1/vector_stores/{vector_store_id}/files/{file_id}",
        "Change a file's attributes in a vector store.",
        body="json",
    ),
    ResourceRow("DELETE", "/v1/vector_stores/{vector_store_id}/files/{file_id}", "Take a file out of a vector store."),
    ResourceRow(
        "GET",
        "/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
        "Show what was read out of a file.",
        query=_PAGE,
    ),
    ResourceRow(
        "POST",
        "/v1/vector_stores/{vector_store_id}/file_batches",
        "Add many files to a vector store.",
        body="json",
        creates=(("id", "vector_store.file_batch"),),
    ),
    ResourceRow(
        "GET",
        "/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}",
        "Show how far the adding of many files has come.",
    ),
    ResourceRow(
        "POST",
        "/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}/cancel",
        "Stop the adding of many files.",
    ),
    ResourceRow(
        "GET",
        "/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}/files",
        "List the files that were added together.",
        query=_PAGE | {"filter"},
    ),
)

ASSISTANTS: Final = (
    ResourceRow(
        "POST",
        "/v1/assistants",
        "Make an assistant.",
        body="json",
        model="must",
        creates=(("id", "assistant"),),
        adopts=_STORES,
    ),
    ResourceRow("GET", "/v1/assistants", "List your assistants.", lists="assistant", query=_PAGE),
    ResourceRow("GET", "/v1/assistants/{assistant_id}", "Show an assistant."),
    ResourceRow(
        "POST",
        "/v1/assistants/{assistant_id}",
        "Change an assistant.",
        body="json",
        model="may",
        creates=(("id", "assistant"),),
        adopts=_STORES,
    ),
    ResourceRow("DELETE", "/v1/assistants/{assistant_id}", "Delete an assistant.", deletes="assistant_id"),
)

THREADS: Final = (
    ResourceRow("POST", "/v1/threads", "Begin a thread.", body="json", creates=(("id", "thread"),), adopts=_STORES),
    ResourceRow(
        "POST",
        "/v1/threads/runs",
        "Begin a thread and let an assistant answer it.",
        body="json",
        model="may",
        response="json or events",
        creates=_RUN,
        adopts=_STORES,
        bills=True,
    ),
    ResourceRow("GET", "/v1/threads/{thread_id}", "Show a thread.", adopts=_STORES),
    ResourceRow("POST", "/v1/threads/{thread_id}", "Change a thread.", body="json", adopts=_STORES),
    ResourceRow("DELETE", "/v1/threads/{thread_id}", "Delete a thread.", deletes="thread_id"),
    ResourceRow(
        "POST",
        "/v1/threads/{thread_id}/messages",
        "Add a message to a thread.",
        body="json",
        creates=(("id", "thread.message"),),
    ),
    ResourceRow(
        "GET", "/v1/threads/{thread_id}/messages", "List a thread's messages.", query=_PAGE | {"run_id"}, adopts=_FILES
    ),
    ResourceRow("GET", "/v1/threads/{thread_id}/messages/{message_id}", "Show a message of a thread.", adopts=_FILES),
    ResourceRow("POST", "/v1/threads/{thread_id}/messages/{message_id}", "Change a message's metadata.", body="json"),
    ResourceRow("DELETE", "/v1/threads/{thread_id}/messages/{message_id}", "Delete a message of a thread."),
    ResourceRow(
        "POST",
        "/v1/threads/{thread_id}/runs",
        "Let an assistant answer a thread.",
        body="json",
        model="may",
        response="json or events",
        creates=(("id", "thread.run"),),
        adopts=_FILES,
        bills=True,
        query=_INCLUDE,
    ),
    ResourceRow("GET", "/v1/threads/{thread_id}/runs", "List a thread's runs.", query=_PAGE),
    ResourceRow("GET", "/v1/threads/{thread_id}/runs/{run_id}", "Show a run."),
    ResourceRow("POST", "/v1/threads/{thread_id}/runs/{run_id}", "Change a run's metadata.", body="json"),
    ResourceRow("POST", "/v1/threads/{thread_id}/runs/{run_id}/cancel", "Stop a run."),
    ResourceRow(
        "POST",
        "/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
        "Give a run what its tools found.",
        body="json",
        response="json or events",
        adopts=_FILES,
        bills=True,
    ),
    ResourceRow(
        "GET",
        "/v1/threads/{thread_id}/runs/{run_id}/steps",
        "List a run's steps.",
        query=_PAGE | _INCLUDE,
        adopts=_FILES,
    ),
    ResourceRow(
        "GET",
        "/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}",
        "Show a step of a run.",
        query=_INCLUDE,
        adopts=_FILES,
    ),
)

VIDEOS: Final = (
    ResourceRow(
        "POST",
        "/v1/videos",
        "Make a video from a text.",
        starts=True,
        body="form or json",
        model="must",
        creates=(("id", "video"),),
    ),
    ResourceRow("GET", "/v1/videos", "List your videos.", lists="video", query=_PAGE),
    ResourceRow("GET", "/v1/videos/{video_id}", "Show how far a video has come."),
    ResourceRow("DELETE", "/v1/videos/{video_id}", "Delete a video.", deletes="video_id"),
    ResourceRow(
        "GET", "/v1/videos/{video_id}/content", "Download a video.", response="bytes", query=frozenset({"variant"})
    ),
    ResourceRow(
        "POST",
        "/v1/videos/{video_id}/remix",
        "Make a variation of a video.",
        starts=True,
        body="json",
        creates=(("id", "video"),),
    ),
)

FINE_TUNING: Final = (
    ResourceRow(
        "POST",
        "/v1/fine_tuning/jobs",
        "Start to fine-tune a model.",
        starts=True,
        body="json",
        model="must",
        creates=(("id", "fine_tuning.job"),),
        scrubs=True,
    ),
    ResourceRow(
        "GET", "/v1/fine_tuning/jobs", "List your fine-tuning jobs.", lists="fine_tuning.job", query=_PAGE, scrubs=True
    ),
    ResourceRow("GET", "/v1/fine_tuning/jobs/{job_id}", "Show a fine-tuning job.", adopts=_TUNED, scrubs=True),
    ResourceRow("POST", "/v1/fine_tuning/jobs/{job_id}/cancel", "Stop a fine-tuning job.", adopts=_TUNED, scrubs=True),
    ResourceRow("POST", "/v1/fine_tuning/jobs/{job_id}/pause", "Pause a fine-tuning job.", adopts=_TUNED, scrubs=True),
    ResourceRow(
        "POST", "/v1/fine_tuning/jobs/{job_id}/resume", "Go on with a fine-tuning job.", adopts=_TUNED, scrubs=True
    ),
    ResourceRow(
        "GET",
        "/v1/fine_tuning/jobs/{job_id}/events",
        "List what happened in a fine-tuning job.",
        query=_PAGE,
        adopts=_TUNED,
        scrubs=True,
    ),
    ResourceRow(
        "GET",
        "/v1/fine_tuning/jobs/{job_id}/checkpoints",
        "List a fine-tuning job's checkpoints.",
        query=_PAGE,
        adopts=_TUNED,
        scrubs=True,
    ),
)

RESOURCE_ROWS: Final = (
    *RESPONSES,
    *FILES,
    *BATCHES,
    *VECTOR_STORES,
    *ASSISTANTS,
    *THREADS,
    *VIDEOS,
    *FINE_TUNING,
)
