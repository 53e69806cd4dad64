"""What Label Studio's editor holds at the moment, asked of the editor itself.

Label Studio opens a task twice: at once with what the data manager knows of it, which lets a person see the image, and
again when the backend has been asked for a proposal. The second time it throws away what was done in between: key
points, the chosen label, deleted regions. So nothing may be clicked before `OPENED`.
"""

from __future__ import annotations

# Whether the task is open for good: asked for, answered, its image loaded, and drawn to its final size.
OPENED = """task => {
    const manager = window.dataManager?.store, editor = window.Htx;
    if (!manager || !editor || manager.loadingData || editor.isLoading) return false;
    const image = editor.annotationStore.selected?.objects[0];
    if (Number(editor.task?.id) !== task || !(image?.naturalWidth > 1)) return false;  // 1: on its way
    const place = [image.stageWidth, image.stageHeight, image.zoomScale, image.zoomingPositionX].join();
    const now = performance.now(), before = window.placeOfImage;
    if (before?.place !== place || before?.annotation !== editor.annotationStore.selected.id) {
        window.placeOfImage = {place, since: now, annotation: editor.annotationStore.selected.id};
        return false;
    }
    return now - before.since > 400;  // Label Studio fits the image a moment after it is there
}"""

# Where its stage shows the upper left corner of an image (the first is 0) and how large, in pixels of the window.
IMAGE_ON_STAGE = """number => {
    const image = Htx.annotationStore.selected.objects[number], scale = image.zoomScale;
    const left = image.zoomingPositionX + image.alignmentOffset.x;
    const top = image.zoomingPositionY + image.alignmentOffset.y;
    return [left, top, image.stageWidth * scale, image.stageHeight * scale];
}"""

# The labels of the masks that the open task shows.
LABELS_OF_MASKS = """() => Htx.annotationStore.selected.regions
    .filter(region => region.type === "brushregion").flatMap(region => region.labels)"""

# Whether the smart tool of an image and the label of the same kind are both chosen: only then a click asks the backend.
READY_TO_CLICK = """([label, number, kind]) => {
    const opened = Htx.annotationStore.selected, image = opened.objects[number].name;
    const tool = ToolManager.allInstances().find(tools => tools.name === image)?.findSelectedTool();
    const chosen = [...opened.names.values()].filter(
        tag => tag.type === `${kind.toLowerCase()}labels` && tag.toname === image);
    const named = {KeyPoint: "KeyPointTool-dynamic", Rectangle: "RectangleTool-dynamic"}[kind];
    return tool?.fullName === named && chosen.some(tag => tag.selectedValues().includes(label));
}"""

# Which of all labels on the page, counted from 0, is that one of the first control of a kind for an image; -1: none.
PLACE_OF_LABEL = """([label, number, kind]) => {
    const opened = Htx.annotationStore.selected, image = opened.objects[number].name;
    return [...opened.names.values()].filter(tag => tag.isLabeling && tag.type !== "choices").flatMap(
        tag => tag.tiedChildren.map(one => [tag, one])
    ).findIndex(([tag, one]) => one.value === label && tag.toname === image &&
        tag.type === `${kind.toLowerCase()}labels`);
}"""

# The tool that is chosen for an image.
TOOL = """number => {
    const image = Htx.annotationStore.selected.objects[number].name;
    return ToolManager.allInstances().find(tools => tools.name === image)?.findSelectedTool()?.fullName;
}"""

CHOSEN = """choice => [...Htx.annotationStore.selected.names.values()].some(
    tag => tag.type === "choices" && tag.selectedValues().includes(choice))"""
SELECTED_REGIONS = "() => Htx.annotationStore.selected.selectedRegions.length"
REGIONS = "() => Htx.annotationStore.selected.regions.length"

# Everything that decides what becomes of a click, for the words of a failure.
STATE = """() => {
    const editor = window.Htx, opened = editor?.annotationStore?.selected, image = opened?.objects?.[0];
    if (!opened) return {address: location.href, editor: "not there"};
    return {
        task: editor.task?.id,
        annotation: opened.id,
        annotations: editor.annotationStore.annotations.length,
        predictions: editor.annotationStore.predictions.length,
        regions: opened.regions.map(region => region.type + (region.selected ? " (selected)" : "")),
        suggestions: opened.suggestions.size,
        tools: ToolManager.allInstances().map(tools => tools.findSelectedTool()?.fullName ?? "none"),
        labels: [...opened.names.values()].flatMap(tag => (tag.selectedLabels ?? []).map(
            label => `${tag.name}: ${label.value}`)),
        autoAnnotation: editor.autoAnnotation,
        drawing: opened.isDrawing,
        readonly: opened.isReadOnly(),
        waiting: editor.awaitingSuggestions,
        loading: [editor.isLoading, window.dataManager?.store?.loadingData],
        image: [image?.naturalWidth, image?.stageWidth, image?.stageHeight, image?.zoomScale],
        dialogs: document.querySelectorAll("[role=dialog]").length,
    };
}"""
