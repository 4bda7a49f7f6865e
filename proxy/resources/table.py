"""The table of endpoints for things with an id: a row says which ids stand where, and routes and tests come from it."""

from typing import Final

from proxy.ledger.record import BATCH_INPUT
from proxy.resources.spec import ObjectRow

_PAGE: Final = frozenset({"limit", "order", "after", "before"})
_FILES: Final = frozenset({"file_id", "file_ids"})
_STORES: Final = frozenset({"file_id", "file_ids", "vector_store_ids"})
_TUNED: Final = frozenset({"result_files"})
_BATCH: Final = frozenset({"output_file_id", "error_file_id"})
_RUN: Final = (("id", "thread.run"), ("thread_id", "thread"))
_TOOL_IDS: Final = ("file_ids", "file_id", "vector_store_ids")

RESPONSES: Final = (
    ObjectRow(
        method="GET",
        path="/v1/responses/{response_id}",
        reply="json or events",
        query=frozenset({"include", "include[]", "include_obfuscation", "starting_after", "stream"}),
        help="Show a stored response, or stream it again.",
    ),
    ObjectRow(
        method="DELETE", path="/v1/responses/{response_id}", deletes="response_id", help="Delete a stored response."
    ),
    ObjectRow(method="POST", path="/v1/responses/{response_id}/cancel", help="Stop a response in the background."),
    ObjectRow(
        method="GET",
        path="/v1/responses/{response_id}/input_items",
        query=_PAGE | {"include", "include[]"},
        help="List what a stored response was made from.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/conversations",
        body="json",
        body_ids=("file_id",),
        creates=(("id", "conversation"),),
        help="Begin a stored conversation.",
    ),
    ObjectRow(method="GET", path="/v1/conversations/{conversation_id}", help="Show a stored conversation."),
    ObjectRow(
        method="POST", path="/v1/conversations/{conversation_id}", body="json", help="Change a conversation's metadata."
    ),
    ObjectRow(
        method="DELETE",
        path="/v1/conversations/{conversation_id}",
        deletes="conversation_id",
        help="Delete a stored conversation.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/conversations/{conversation_id}/items",
        query=_PAGE | {"include", "include[]"},
        help="List a conversation's items.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/conversations/{conversation_id}/items",
        body="json",
        body_ids=("file_id",),
        query=frozenset({"include", "include[]"}),
        help="Add items to a conversation.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/conversations/{conversation_id}/items/{item_id}",
        query=frozenset({"include", "include[]"}),
        help="Show an item of a conversation.",
    ),
    ObjectRow(
        method="DELETE",
        path="/v1/conversations/{conversation_id}/items/{item_id}",
        help="Delete an item of a conversation.",
    ),
)

FILES: Final = (
    ObjectRow(method="POST", path="/v1/files", body="file", creates=(("id", "file"),), help="Upload a file."),
    ObjectRow(
        method="GET",
        path="/v1/files",
        lists="file",
        lists_too=(BATCH_INPUT,),
        most=10_000,
        usual=10_000,
        query=_PAGE | {"purpose"},
        help="List your files.",
    ),
    ObjectRow(method="GET", path="/v1/files/{file_id}", help="Show a file."),
    ObjectRow(method="DELETE", path="/v1/files/{file_id}", deletes="file_id", help="Delete a file."),
    ObjectRow(method="GET", path="/v1/files/{file_id}/content", reply="bytes", help="Download a file."),
    ObjectRow(
        method="POST",
        path="/v1/uploads",
        body="json",
        refuses="batch",
        creates=(("id", "upload"),),
        help="Begin to upload a large file in parts.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/uploads/{upload_id}/parts",
        body="form",
        creates=(("id", "upload.part"),),
        help="Upload a part of a large file.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/uploads/{upload_id}/complete",
        body="json",
        body_ids=("part_ids",),
        creates=(("file.id", "file"),),
        help="Make a file of the parts.",
    ),
    ObjectRow(method="POST", path="/v1/uploads/{upload_id}/cancel", help="Give an upload up."),
)

BATCHES: Final = (
    ObjectRow(
        method="POST",
        path="/v1/batches",
        starts=True,
        body="json",
        body_ids=("input_file_id",),
        takes_batches=True,
        creates=(("id", "batch"),),
        adopts=_BATCH,
        help="Start a batch of requests out of a file.",
    ),
    ObjectRow(method="GET", path="/v1/batches", lists="batch", query=_PAGE, adopts=_BATCH, help="List your batches."),
    ObjectRow(method="GET", path="/v1/batches/{batch_id}", adopts=_BATCH, help="Show a batch."),
    ObjectRow(method="POST", path="/v1/batches/{batch_id}/cancel", adopts=_BATCH, help="Stop a batch."),
)

VECTOR_STORES: Final = (
    ObjectRow(
        method="POST",
        path="/v1/vector_stores",
        body="json",
        body_ids=("file_ids",),
        creates=(("id", "vector_store"),),
        help="Make a vector store.",
    ),
    ObjectRow(
        method="GET", path="/v1/vector_stores", lists="vector_store", query=_PAGE, help="List your vector stores."
    ),
    ObjectRow(method="GET", path="/v1/vector_stores/{vector_store_id}", help="Show a vector store."),
    ObjectRow(method="POST", path="/v1/vector_stores/{vector_store_id}", body="json", help="Change a vector store."),
    ObjectRow(
        method="DELETE",
        path="/v1/vector_stores/{vector_store_id}",
        deletes="vector_store_id",
        help="Delete a vector store.",
    ),
    ObjectRow(
        method="POST", path="/v1/vector_stores/{vector_store_id}/search", body="json", help="Search a vector store."
    ),
    ObjectRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/files",
        body="json",
        body_ids=("file_id",),
        help="Add a file to a vector store.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/files",
        query=_PAGE | {"filter"},
        help="List the files of a vector store.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}",
        help="Show a file of a vector store.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}",
        body="json",
        help="Change a file's attributes in a vector store.",
    ),
    ObjectRow(
        method="DELETE",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}",
        help="Take a file out of a vector store.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
        query=_PAGE,
        help="Show what was read out of a file.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/file_batches",
        body="json",
        body_ids=("file_ids", "file_id"),
        creates=(("id", "vector_store.file_batch"),),
        help="Add many files to a vector store.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}",
        help="Show how far the adding of many files has come.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}/cancel",
        help="Stop the adding of many files.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/vector_stores/{vector_store_id}/file_batches/{file_batch_id}/files",
        query=_PAGE | {"filter"},
        help="List the files that were added together.",
    ),
)

ASSISTANTS: Final = (
    ObjectRow(
        method="POST",
        path="/v1/assistants",
        body="json",
        body_ids=_TOOL_IDS,
        model="must",
        creates=(("id", "assistant"),),
        adopts=_STORES,
        help="Make an assistant.",
    ),
    ObjectRow(method="GET", path="/v1/assistants", lists="assistant", query=_PAGE, help="List your assistants."),
    ObjectRow(method="GET", path="/v1/assistants/{assistant_id}", help="Show an assistant."),
    ObjectRow(
        method="POST",
        path="/v1/assistants/{assistant_id}",
        body="json",
        body_ids=_TOOL_IDS,
        model="may",
        creates=(("id", "assistant"),),
        adopts=_STORES,
        help="Change an assistant.",
    ),
    ObjectRow(
        method="DELETE", path="/v1/assistants/{assistant_id}", deletes="assistant_id", help="Delete an assistant."
    ),
)

THREADS: Final = (
    ObjectRow(
        method="POST",
        path="/v1/threads",
        body="json",
        body_ids=_TOOL_IDS,
        creates=(("id", "thread"),),
        adopts=_STORES,
        help="Begin a thread.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/threads/runs",
        body="json",
        body_ids=("assistant_id", *_TOOL_IDS),
        model="may",
        reply="json or events",
        creates=_RUN,
        adopts=_STORES,
        bills=True,
        help="Begin a thread and let an assistant answer it.",
    ),
    ObjectRow(method="GET", path="/v1/threads/{thread_id}", adopts=_STORES, help="Show a thread."),
    ObjectRow(
        method="POST",
        path="/v1/threads/{thread_id}",
        body="json",
        body_ids=_TOOL_IDS,
        adopts=_STORES,
        help="Change a thread.",
    ),
    ObjectRow(method="DELETE", path="/v1/threads/{thread_id}", deletes="thread_id", help="Delete a thread."),
    ObjectRow(
        method="POST",
        path="/v1/threads/{thread_id}/messages",
        body="json",
        body_ids=("file_id",),
        creates=(("id", "thread.message"),),
        help="Add a message to a thread.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/threads/{thread_id}/messages",
        query=_PAGE | {"run_id"},
        adopts=_FILES,
        help="List a thread's messages.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/threads/{thread_id}/messages/{message_id}",
        adopts=_FILES,
        help="Show a message of a thread.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/threads/{thread_id}/messages/{message_id}",
        body="json",
        help="Change a message's metadata.",
    ),
    ObjectRow(
        method="DELETE", path="/v1/threads/{thread_id}/messages/{message_id}", help="Delete a message of a thread."
    ),
    ObjectRow(
        method="POST",
        path="/v1/threads/{thread_id}/runs",
        body="json",
        body_ids=("assistant_id", "file_id"),
        model="may",
        reply="json or events",
        creates=(("id", "thread.run"),),
        adopts=_FILES,
        bills=True,
        query=frozenset({"include", "include[]"}),
        help="Let an assistant answer a thread.",
    ),
    ObjectRow(method="GET", path="/v1/threads/{thread_id}/runs", query=_PAGE, help="List a thread's runs."),
    ObjectRow(method="GET", path="/v1/threads/{thread_id}/runs/{run_id}", help="Show a run."),
    ObjectRow(
        method="POST", path="/v1/threads/{thread_id}/runs/{run_id}", body="json", help="Change a run's metadata."
    ),
    ObjectRow(method="POST", path="/v1/threads/{thread_id}/runs/{run_id}/cancel", help="Stop a run."),
    ObjectRow(
        method="POST",
        path="/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
        body="json",
        reply="json or events",
        adopts=_FILES,
        bills=True,
        help="Give a run what its tools found.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/threads/{thread_id}/runs/{run_id}/steps",
        query=_PAGE | {"include", "include[]"},
        adopts=_FILES,
        help="List a run's steps.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}",
        query=frozenset({"include", "include[]"}),
        adopts=_FILES,
        help="Show a step of a run.",
    ),
)

VIDEOS: Final = (
    ObjectRow(
        method="POST",
        path="/v1/videos",
        starts=True,
        body="form or json",
        body_ids=("file_id",),
        model="must",
        creates=(("id", "video"),),
        help="Make a video from a text.",
    ),
    ObjectRow(method="GET", path="/v1/videos", lists="video", query=_PAGE, help="List your videos."),
    ObjectRow(method="GET", path="/v1/videos/{video_id}", help="Show how far a video has come."),
    ObjectRow(method="DELETE", path="/v1/videos/{video_id}", deletes="video_id", help="Delete a video."),
    ObjectRow(
        method="GET",
        path="/v1/videos/{video_id}/content",
        reply="bytes",
        query=frozenset({"variant"}),
        help="Download a video.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/videos/{video_id}/remix",
        starts=True,
        body="json",
        creates=(("id", "video"),),
        help="Make a variation of a video.",
    ),
)

FINE_TUNING: Final = (
    ObjectRow(
        method="POST",
        path="/v1/fine_tuning/jobs",
        starts=True,
        body="json",
        body_ids=("training_file", "validation_file"),
        model="must",
        creates=(("id", "fine_tuning.job"),),
        scrubs=True,
        help="Start to fine-tune a model.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/fine_tuning/jobs",
        lists="fine_tuning.job",
        query=_PAGE,
        scrubs=True,
        help="List your fine-tuning jobs.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/fine_tuning/jobs/{job_id}",
        adopts=_TUNED,
        scrubs=True,
        help="Show a fine-tuning job.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/fine_tuning/jobs/{job_id}/cancel",
        adopts=_TUNED,
        scrubs=True,
        help="Stop a fine-tuning job.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/fine_tuning/jobs/{job_id}/pause",
        adopts=_TUNED,
        scrubs=True,
        help="Pause a fine-tuning job.",
    ),
    ObjectRow(
        method="POST",
        path="/v1/fine_tuning/jobs/{job_id}/resume",
        adopts=_TUNED,
        scrubs=True,
        help="Go on with a fine-tuning job.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/fine_tuning/jobs/{job_id}/events",
        query=_PAGE,
        adopts=_TUNED,
        scrubs=True,
        help="List what happened in a fine-tuning job.",
    ),
    ObjectRow(
        method="GET",
        path="/v1/fine_tuning/jobs/{job_id}/checkpoints",
        query=_PAGE,
        adopts=_TUNED,
        scrubs=True,
        help="List a fine-tuning job's checkpoints.",
    ),
)

OBJECT_ROWS: Final = (
    *RESPONSES,
    *FILES,
    *BATCHES,
    *VECTOR_STORES,
    *ASSISTANTS,
    *THREADS,
    *VIDEOS,
    *FINE_TUNING,
)
