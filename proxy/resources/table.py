"""The table of resource endpoints: files, batches, vector stores, assistants, threads, videos, stored responses."""

from typing import Final

from proxy.ledger.record import BATCH_INPUT
from proxy.resources.spec import ResourceRow

_PAGE: Final = frozenset({"limit", "order", "after", "before"})
_FILES: Final = frozenset({"file_id", "file_ids"})
_STORES: Final = frozenset({"file_id", "file_ids", "vector_store_ids"})
_TUNED: Final = frozenset({"result_files"})
_BATCH: Final = frozenset({"output_file_id", "error_file_id"})
_RUN: Final = (("id", "thread.run"), ("thread_id", "thread"))

RESPONSES: Final = (
    ResourceRow(
        method="GET",
        path="/v1/responses/{response_id}",
        response="json or events",
        query=frozenset({"include", "include[]", "include_obfuscation", "starting_after", "stream"}),
        help="Show a stored response, or stream it again.",
    ),
    ResourceRow(
        method="DELETE", path="/v1/responses/{response_id}", deletes="response_id", help="Delete a stored response."
    ),
    ResourceRow(method="POST", path="/v1/responses/{response_id}/cancel", help="Stop a response in the background."),
    ResourceRow(
        method="GET",
        path="/v1/responses/{response_id}/input_items",
        query=_PAGE | {"include", "include[]"},
        help="List what a stored response was made from.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/conversations",
        body="json",
        creates=(("id", "conversation"),),
        help="Begin a stored conversation.",
    ),
    ResourceRow(method="GET", path="/v1/conversations/{conversation_id}", help="Show a stored conversation."),
    ResourceRow(
        method="POST", path="/v1/conversations/{conversation_id}", body="json", help="Change a conversation's metadata."
    ),
    ResourceRow(
        method="DELETE",
        path="/v1/conversations/{conversation_id}",
        deletes="conversation_id",
        help="Delete a stored conversation.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/conversations/{conversation_id}/items",
        query=_PAGE | {"include", "include[]"},
        help="List a conversation's items.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/conversations/{conversation_id}/items",
        body="json",
        query=frozenset({"include", "include[]"}),
        help="Add items to a conversation.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/conversations/{conversation_id}/items/{item_id}",
        query=frozenset({"include", "include[]"}),
        help="Show an item of a conversation.",
    ),
    ResourceRow(
        method="DELETE",
        path="/v1/conversations/{conversation_id}/items/{item_id}",
        help="Delete an item of a conversation.",
    ),
)

FILES: Final = (
    ResourceRow(method="POST", path="/v1/files", body="file", creates=(("id", "file"),), help="Upload a file."),
    ResourceRow(
        method="GET",
        path="/v1/files",
        lists="file",
        lists_too=(BATCH_INPUT,),
        max_page=10_000,
        default_page=10_000,
        query=_PAGE | {"purpose"},
        help="List your files.",
    ),
    ResourceRow(method="GET", path="/v1/files/{file_id}", help="Show a file."),
    ResourceRow(method="DELETE", path="/v1/files/{file_id}", deletes="file_id", help="Delete a file."),
    ResourceRow(method="GET", path="/v1/files/{file_id}/content", response="bytes", help="Download a file."),
    ResourceRow(
        method="POST",
        path="/v1/uploads",
        body="json",
        refuses="batch",
        creates=(("id", "upload"),),
        help="Begin to upload a large file in parts.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/uploads/{upload_id}/parts",
        body="form",
        creates=(("id", "upload.part"),),
        help="Upload a part of a large file.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/uploads/{upload_id}/complete",
        body="json",
        creates=(("file.id", "file"),),
        help="Make a file of the parts.",
    ),
    ResourceRow(method="POST", path="/v1/uploads/{upload_id}/cancel", help="Give an upload up."),
)

BATCHES: Final = (
    ResourceRow(
        method="POST",
        path="/v1/batches",
        starts=True,
        body="json",
        takes_batches=True,
        creates=(("id", "batch"),),
        adopts=_BATCH,
        help="Start a batch of requests out of a file.",
    ),
    ResourceRow(method="GET", path="/v1/batches", lists="batch", query=_PAGE, adopts=_BATCH, help="List your batches."),
    ResourceRow(method="GET", path="/v1/batches/{batch_id}", adopts=_BATCH, help="Show a batch."),
    ResourceRow(method="POST", path="/v1/batches/{batch_id}/cancel", adopts=_BATCH, help="Stop a batch."),
)

VECTOR_STORES: Final = (
    ResourceRow(
        method="POST",
        path="/v1/vector_stores",
        body="json",
        creates=(("id", "vector_store"),),
        help="Make a vector store.",
    ),
    ResourceRow(
        method="GET", path="/v1/vector_stores", lists="vector_store", query=_PAGE, help="List your vector stores."
    ),
    ResourceRow(method="GET", path="/v1/vector_stores/{vector_store_id}", help="Show a vector store."),
    ResourceRow(method="POST", path="/v1/vector_stores/{vector_store_id}", body="json", help="Change a vector store."),
    ResourceRow(
        method="DELETE",
        path="/v1/vector_stores/{vector_store_id}",
        deletes="vector_store_id",
        help="Delete a vector store.",
    ),
    ResourceRow(
        method="POST", path="/v1/vector_stores/{vector_store_id}/search", body="json", help="Search a vector store."
    ),
    ResourceRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/files",
        body="json",
        help="Add a file to a vector store.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/files",
        query=_PAGE | {"filter"},
        help="List the files of a vector store.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}",
        help="Show a file of a vector store.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}",
        body="json",
        help="Change a file's attributes in a vector store.",
    ),
    ResourceRow(
        method="DELETE",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}",
        help="Take a file out of a vector store.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
        query=_PAGE,
        help="Show what was read out of a file.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/file_batches",
        body="json",
        creates=(("id", "vector_store.file_batch"),),
        help="Add many files to a vector store.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}",
        help="Show how far the adding of many files has come.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}/cancel",
        help="Stop the adding of many files.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}/files",
        query=_PAGE | {"filter"},
        help="List the files that were added together.",
    ),
)

ASSISTANTS: Final = (
    ResourceRow(
        method="POST",
        path="/v1/assistants",
        body="json",
        model="must",
        creates=(("id", "assistant"),),
        adopts=_STORES,
        help="Make an assistant.",
    ),
    ResourceRow(method="GET", path="/v1/assistants", lists="assistant", query=_PAGE, help="List your assistants."),
    ResourceRow(method="GET", path="/v1/assistants/{assistant_id}", help="Show an assistant."),
    ResourceRow(
        method="POST",
        path="/v1/assistants/{assistant_id}",
        body="json",
        model="may",
        creates=(("id", "assistant"),),
        adopts=_STORES,
        help="Change an assistant.",
    ),
    ResourceRow(
        method="DELETE", path="/v1/assistants/{assistant_id}", deletes="assistant_id", help="Delete an assistant."
    ),
)

THREADS: Final = (
    ResourceRow(
        method="POST",
        path="/v1/threads",
        body="json",
        creates=(("id", "thread"),),
        adopts=_STORES,
        help="Begin a thread.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/threads/runs",
        body="json",
        model="may",
        response="json or events",
        creates=_RUN,
        adopts=_STORES,
        bills=True,
        help="Begin a thread and let an assistant answer it.",
    ),
    ResourceRow(method="GET", path="/v1/threads/{thread_id}", adopts=_STORES, help="Show a thread."),
    ResourceRow(
        method="POST",
        path="/v1/threads/{thread_id}",
        body="json",
        adopts=_STORES,
        help="Change a thread.",
    ),
    ResourceRow(method="DELETE", path="/v1/threads/{thread_id}", deletes="thread_id", help="Delete a thread."),
    ResourceRow(
        method="POST",
        path="/v1/threads/{thread_id}/messages",
        body="json",
        creates=(("id", "thread.message"),),
        help="Add a message to a thread.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/threads/{thread_id}/messages",
        query=_PAGE | {"run_id"},
        adopts=_FILES,
        help="List a thread's messages.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/threads/{thread_id}/messages/{message_id}",
        adopts=_FILES,
        help="Show a message of a thread.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/threads/{thread_id}/messages/{message_id}",
        body="json",
        help="Change a message's metadata.",
    ),
    ResourceRow(
        method="DELETE", path="/v1/threads/{thread_id}/messages/{message_id}", help="Delete a message of a thread."
    ),
    ResourceRow(
        method="POST",
        path="/v1/threads/{thread_id}/runs",
        body="json",
        model="may",
        response="json or events",
        creates=(("id", "thread.run"),),
        adopts=_FILES,
        bills=True,
        query=frozenset({"include", "include[]"}),
        help="Let an assistant answer a thread.",
    ),
    ResourceRow(method="GET", path="/v1/threads/{thread_id}/runs", query=_PAGE, help="List a thread's runs."),
    ResourceRow(method="GET", path="/v1/threads/{thread_id}/runs/{run_id}", help="Show a run."),
    ResourceRow(
        method="POST", path="/v1/threads/{thread_id}/runs/{run_id}", body="json", help="Change a run's metadata."
    ),
    ResourceRow(method="POST", path="/v1/threads/{thread_id}/runs/{run_id}/cancel", help="Stop a run."),
    ResourceRow(
        method="POST",
        path="/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
        body="json",
        response="json or events",
        adopts=_FILES,
        bills=True,
        help="Give a run what its tools found.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/threads/{thread_id}/runs/{run_id}/steps",
        query=_PAGE | {"include", "include[]"},
        adopts=_FILES,
        help="List a run's steps.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}",
        query=frozenset({"include", "include[]"}),
        adopts=_FILES,
        help="Show a step of a run.",
    ),
)

VIDEOS: Final = (
    ResourceRow(
        method="POST",
        path="/v1/videos",
        starts=True,
        body="form or json",
        model="must",
        creates=(("id", "video"),),
        help="Make a video from a text.",
    ),
    ResourceRow(method="GET", path="/v1/videos", lists="video", query=_PAGE, help="List your videos."),
    ResourceRow(method="GET", path="/v1/videos/{video_id}", help="Show how far a video has come."),
    ResourceRow(method="DELETE", path="/v1/videos/{video_id}", deletes="video_id", help="Delete a video."),
    ResourceRow(
        method="GET",
        path="/v1/videos/{video_id}/content",
        response="bytes",
        query=frozenset({"variant"}),
        help="Download a video.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/videos/{video_id}/remix",
        starts=True,
        body="json",
        creates=(("id", "video"),),
        help="Make a variation of a video.",
    ),
)

FINE_TUNING: Final = (
    ResourceRow(
        method="POST",
        path="/v1/fine_tuning/jobs",
        starts=True,
        body="json",
        model="must",
        creates=(("id", "fine_tuning.job"),),
        scrubs=True,
        help="Start to fine-tune a model.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/fine_tuning/jobs",
        lists="fine_tuning.job",
        query=_PAGE,
        scrubs=True,
        help="List your fine-tuning jobs.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/fine_tuning/jobs/{job_id}",
        adopts=_TUNED,
        scrubs=True,
        help="Show a fine-tuning job.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/fine_tuning/jobs/{job_id}/cancel",
        adopts=_TUNED,
        scrubs=True,
        help="Stop a fine-tuning job.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/fine_tuning/jobs/{job_id}/pause",
        adopts=_TUNED,
        scrubs=True,
        help="Pause a fine-tuning job.",
    ),
    ResourceRow(
        method="POST",
        path="/v1/fine_tuning/jobs/{job_id}/resume",
        adopts=_TUNED,
        scrubs=True,
        help="Go on with a fine-tuning job.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/fine_tuning/jobs/{job_id}/events",
        query=_PAGE,
        adopts=_TUNED,
        scrubs=True,
        help="List what happened in a fine-tuning job.",
    ),
    ResourceRow(
        method="GET",
        path="/v1/fine_tuning/jobs/{job_id}/checkpoints",
        query=_PAGE,
        adopts=_TUNED,
        scrubs=True,
        help="List a fine-tuning job's checkpoints.",
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
